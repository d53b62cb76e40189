{{/* Of the pods. None that a new version of the chart alone would change: that would replace them for nothing. */}}
{{- define "kubernetes-agent.podLabels" -}}
app: {{ .Values.name }}
app.kubernetes.io/name: kubernetes-agent
{{- end }}

{{/* Of every object: also whose it is, for those who list what a release has. Nothing selects by these. */}}
{{- define "kubernetes-agent.labels" -}}
{{ include "kubernetes-agent.podLabels" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "kubernetes-agent.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- with .Values.image.digest }}@{{ . }}{{ end }}
{{- end }}

{{/* True where one of the named actions is allowed: (list . "evict_pod" "drain_node"). */}}
{{- define "kubernetes-agent.any" -}}
{{- $allowed := (first .).Values.actions.allowed -}}
{{- range rest . }}{{ if has . $allowed }}true{{ end }}{{ end }}
{{- end }}

{{/* True where any action may write. */}}
{{- define "kubernetes-agent.writes" -}}
{{- if and .Values.actions.allowed (not .Values.readOnly) }}true{{ end }}
{{- end }}

{{/* True where one replica is chosen to act; read-only mode has no permission for that. */}}
{{- define "kubernetes-agent.elects" -}}
{{- if and .Values.leaderElection.enabled (not .Values.readOnly) }}true{{ end }}
{{- end }}

{{/* A list as a setting, which says "none" for the empty one. */}}
{{- define "kubernetes-agent.words" -}}
{{- join "," . | default "none" | quote }}
{{- end }}
