{{- define "gvList" -}}
<!-- Generated from the types by `make generate`. Do not edit. -->
# StreamPair reference
{{ range . }}{{ template "gvDetails" . }}{{ end }}
{{- end -}}
