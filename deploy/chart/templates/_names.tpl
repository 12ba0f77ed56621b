{{/* Names and labels. Selectors cannot be changed after the installation: they have nothing of the version. */}}

{{- define "sequence.fullname" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels by which Services, StatefulSets and policies select the pods of a component: (dict "root" . "component" name) */}}
{{- define "sequence.selector" -}}
app.kubernetes.io/name: sequence-events
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "sequence.labels" -}}
{{ include "sequence.selector" . }}
app.kubernetes.io/part-of: sequence-events
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | trunc 63 | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Image of a component: (dict "root" . "tag" tag) */}}
{{- define "sequence.image" -}}
{{ .root.Values.image.repository }}:{{ .tag | default .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end -}}
