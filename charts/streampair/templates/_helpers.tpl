{{/*
The values of the chart's own values.yaml for those that are missing: after an upgrade with
--reuse-values from a chart that did not have them, or where somebody set them to null. Every
template begins with this. Where null takes something away on purpose, nothing is put in place.
*/}}
{{- define "streampair.defaults" -}}
{{- $nullable := list "resources" "podSecurityContext" "securityContext" -}}
{{- range $key, $value := .Files.Get "files/values.yaml" | fromYaml -}}
{{- if not (has $key $nullable) -}}
{{- include "streampair.default" (list $.Values $key $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Sets a key of (list values key default) that is missing; of a map, the keys within. */}}
{{- define "streampair.default" -}}
{{- $values := index . 0 -}}
{{- $key := index . 1 -}}
{{- $default := index . 2 -}}
{{- if kindIs "invalid" (index $values $key) -}}
{{- $_ := set $values $key $default -}}
{{- else if kindIs "map" $default -}}
{{- range $name, $value := $default -}}
{{- include "streampair.default" (list (index $values $key) $name $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The name of every object: RELEASE-operator, with the chart's name in it. */}}
{{- define "streampair.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $base := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- printf "%s-operator" ($base | trunc 40 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{/* What the Deployment and its Service select by. Changing it would mean a new Deployment. */}}
{{- define "streampair.selectorLabels" -}}
app.kubernetes.io/name: streampair
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "streampair.labels" -}}
{{- include "streampair.labelsWith" (list . (dict)) -}}
{{- end -}}

{{/* The labels of (list root more): the chart's own, then those of more, then commonLabels. No key is there twice. */}}
{{- define "streampair.labelsWith" -}}
{{- $root := index . 0 -}}
{{ include "streampair.selectorLabels" $root }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with include "streampair.usersLabels" (merge (dict) (index . 1) $root.Values.commonLabels) | trim }}
{{ . }}
{{- end }}
{{- end -}}

{{/* Labels without those that the chart sets itself. */}}
{{- define "streampair.usersLabels" -}}
{{- with omit . "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart" -}}
{{ toYaml . }}
{{- end -}}
{{- end -}}

{{/* The labels of the operator's pods beside those that the Deployment selects by. */}}
{{- define "streampair.podLabels" -}}
{{- include "streampair.usersLabels" (merge (dict) .Values.podLabels .Values.commonLabels) -}}
{{- end -}}

{{/* The nodes of the operator's pods: with Linux, unless the values say otherwise. */}}
{{- define "streampair.nodeSelector" -}}
{{- toYaml (merge (dict) .Values.nodeSelector (dict "kubernetes.io/os" "linux")) -}}
{{- end -}}

{{- define "streampair.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "streampair.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* An image reference of (list image defaultTag): a digest wins over a tag. */}}
{{- define "streampair.image" -}}
{{- $image := index . 0 -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default (index . 1) $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* "true" if metrics ask the API server who may read them. */}}
{{- define "streampair.metricsAuth" -}}
{{- if and .Values.metrics.auth (not .Values.watchNamespaces) -}}true{{- else -}}false{{- end -}}
{{- end -}}

{{/* The account that may read the operator's metrics, and the Secret with its token. */}}
{{- define "streampair.metricsScraper" -}}
{{- printf "%s-metrics-scraper" (include "streampair.fullname" .) -}}
{{- end -}}

{{/*
The operator's rules in one namespace: those of files/role.yaml without what only a
ClusterRole can grant.
*/}}
{{- define "streampair.namespacedRules" -}}
{{- $clusterOnly := list "nodes" "tokenreviews" "subjectaccessreviews" -}}
{{- range (.Files.Get "files/role.yaml" | fromYaml).rules -}}
{{- $resources := .resources -}}
{{- range $clusterOnly }}{{ $resources = without $resources . }}{{ end -}}
{{- if $resources }}
- apiGroups: {{ toJson .apiGroups }}
  resources: {{ toJson $resources }}
  verbs: {{ toJson .verbs }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* What OwnerReferencesPermissionEnforcement asks of who sets an owner. */ -}}
{{- define "streampair.adoptRules" -}}
{{- if .Values.rbac.adopt }}
- apiGroups: [""]
  resources: [configmaps, secrets, serviceaccounts, services]
  verbs: [delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [delete]
{{- end }}
{{- end -}}
