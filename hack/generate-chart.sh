#!/usr/bin/env bash
# Copies what the chart shares with config/ into charts/streampair/files. Helm reads nothing
# outside the chart's own folder, and a link would be lost where charts are packed.
# The tests in hack/charttest fail when a copy is not current.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

files=charts/streampair/files
mkdir -p "$files"
cp config/crd/bases/media.streampair.dev_streampairs.yaml "$files/crd.yaml"
cp config/rbac/role.yaml "$files/role.yaml"
cp config/prometheus/rules.yaml "$files/rules.yaml"
cp config/grafana/streampair.json "$files/dashboard.json"
# Templates cannot read the chart's own values.yaml.
cp charts/streampair/values.yaml "$files/values.yaml"
