{{- define "packshot.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "packshot.secret" -}}
{{- .Values.secret.existing | default (printf "%s-urls" (include "packshot.name" .)) -}}
{{- end -}}

{{- define "packshot.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "packshot.name" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- /* (dict "root" $ "part" "api") */ -}}
{{- define "packshot.selector" -}}
app.kubernetes.io/name: packshot
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end -}}

{{- define "packshot.labels" -}}
{{ include "packshot.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- /* (dict "root" $ "image" "packshot-api") */ -}}
{{- define "packshot.image" -}}
{{- $image := .root.Values.image -}}
{{- with $image.registry }}{{ trimSuffix "/" . }}/{{ end }}{{ .image }}:{{ $image.tag | default .root.Chart.AppVersion }}
{{- end -}}

{{- define "packshot.env" -}}
- name: PACKSHOT_DATABASE_URL
  valueFrom:
    secretKeyRef: {name: {{ include "packshot.secret" . }}, key: database-url}
- name: PACKSHOT_BROKER_URL
  valueFrom:
    secretKeyRef: {name: {{ include "packshot.secret" . }}, key: broker-url}
- {name: PACKSHOT_STORAGE_URL, value: {{ required "storage.url says where files stay" .Values.storage.url | quote }}}
- {name: PACKSHOT_METRICS_PORT, value: {{ .Values.monitoring.metricsPort | quote }}}
- {name: PACKSHOT_LOG_FORMAT, value: json}
{{- with .Values.publicUrl }}
- {name: PACKSHOT_PUBLIC_URL, value: {{ . | quote }}}
{{- end }}
{{- range $name, $value := .Values.settings }}
- {name: PACKSHOT_{{ $name }}, value: {{ $value | toString | quote }}}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* One container's guard: nobody, nothing to write to but its volumes. */ -}}
{{- define "packshot.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "packshot.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "packshot.mounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: cache, mountPath: /var/lib/packshot}
{{- if .Values.storage.existingClaim }}
- {name: files, mountPath: /var/lib/packshot/files}
{{- end }}
{{- end -}}

{{- define "packshot.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: {{ .Values.scratch.tmpSize }}}
- name: cache
  emptyDir: {sizeLimit: {{ .Values.scratch.cacheSize }}}
{{- with .Values.storage.existingClaim }}
- name: files
  persistentVolumeClaim: {claimName: {{ . }}}
{{- end }}
{{- end -}}

{{- /* What every Deployment's pods have: (dict "root" $ "part" "io" "values" .Values.io) */ -}}
{{- define "packshot.pod" -}}
serviceAccountName: {{ include "packshot.serviceAccount" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- include "packshot.podSecurity" . | nindent 2 }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "packshot.container" -}}
image: {{ include "packshot.image" (dict "root" .root "image" .values.image) }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  {{- include "packshot.containerSecurity" . | nindent 2 }}
env:
  {{- include "packshot.env" .root | nindent 2 }}
{{- with .root.Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
resources:
  {{- toYaml .values.resources | nindent 2 }}
{{- end -}}

{{- define "packshot.disruption" -}}
{{- with .values.disruption }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "packshot.name" $.root }}-{{ $.part }}
  labels:
    {{- include "packshot.labels" $ | nindent 4 }}
spec:
  {{- toYaml . | nindent 2 }}
  selector:
    matchLabels:
      {{- include "packshot.selector" $ | nindent 6 }}
{{- end }}
{{- end -}}
