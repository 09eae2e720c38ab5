{{- define "type_members" }}
- **`{{ .Name }}`** {{ if eq .Name "metadata" }}_[ObjectMeta]({{ "https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/" }})_{{ else }}_{{ markdownRenderType .Type }}_{{ end }}
{{- range .Validation }}{{ if hasPrefix "Required:" . }}, required{{ end }}{{ end }}
{{- with .Default | toString | replace " " "" }}{{ if and . (ne . "{}") (ne . "<nil>") }}, default `{{ . }}`{{ end }}{{ end }}
{{- with .Doc | trim }}

  {{ . | replace "\n" "\n  " | replace "\n  \n" "\n\n" }}
{{- end }}
{{ end -}}
