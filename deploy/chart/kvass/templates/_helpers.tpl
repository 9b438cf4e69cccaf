{{- /* At most 46 characters: a StatefulSet's name may have 52, as its revision, eleven longer, is a label (63). */ -}}
{{- define "kvass.fullname" -}}
{{- if contains "kvass" .Release.Name -}}{{ .Release.Name | trunc 46 | trimSuffix "-" }}{{- else -}}{{ printf "%s-kvass" .Release.Name | trunc 46 | trimSuffix "-" }}{{- end -}}
{{- end -}}

{{- define "kvass.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
app.kubernetes.io/part-of: kvass
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "kvass.coordinatorLabels" -}}
app.kubernetes.io/name: kvass
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: coordinator
{{- end -}}

{{- define "kvass.shardLabels" -}}
app.kubernetes.io/name: prometheus
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: shard
{{- end -}}

{{- define "kvass.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "kvass.serviceAccount" -}}
{{- if .Values.serviceAccount.name -}}{{ .Values.serviceAccount.name }}{{- else -}}{{ include "kvass.fullname" . }}-coordinator{{- end -}}
{{- end -}}

{{- define "kvass.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65534
runAsGroup: 65534
fsGroup: 65534
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "kvass.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "kvass.policyVersion" -}}
{{- if semverCompare ">=1.21.0-0" .Capabilities.KubeVersion.Version -}}policy/v1{{- else -}}policy/v1beta1{{- end -}}
{{- end -}}
