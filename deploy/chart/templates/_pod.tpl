{{/*
The pod of a component. Its file system is read-only but for /tmp and its volumes, and it runs as any user.

(dict "root" . "component" name "tag" tag "arguments" list "resources" map "environment" text "logins" list
      "prefixes" list, and optionally "port" number "probes" text "mounts" text "volumes" text "restartPolicy" text)
*/}}
{{- define "sequence.pod" -}}
{{- $root := .root -}}
{{- $values := .root.Values -}}
{{- $secrets := include "sequence.secrets" . | trim -}}
metadata:
  labels:
    {{- include "sequence.selector" . | nindent 4 }}
    {{- with $values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- with .restartPolicy }}
  restartPolicy: {{ . }}
  {{- end }}
  serviceAccountName: {{ $values.serviceAccountName }}
  automountServiceAccountToken: false
  # With service links, a Service named sequence-gateway would set SEQUENCE_GATEWAY_PORT to an address.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
  securityContext:
    {{- toYaml $values.podSecurityContext | nindent 4 }}
  {{- with $values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if not .restartPolicy }}
  {{- $spread := dict "topology.kubernetes.io/zone" $values.topologySpread.zone "kubernetes.io/hostname" $values.topologySpread.node }}
  {{- $kept := dict }}
  {{- range $key, $action := $spread }}
  {{- if ne $action "Ignore" }}{{ $_ := set $kept $key $action }}{{ end }}
  {{- end }}
  {{- with $kept }}
  topologySpreadConstraints:
    {{- range $key, $action := . }}
    - maxSkew: 1
      topologyKey: {{ $key }}
      whenUnsatisfiable: {{ $action }}
      labelSelector:
        matchLabels:
          {{- include "sequence.selector" $ | nindent 10 }}
    {{- end }}
  {{- end }}
  {{- end }}
  containers:
    - name: {{ .component }}
      image: {{ include "sequence.image" . | quote }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args: {{ toJson .arguments }}
      env:
        {{- include "sequence.environment" $root | nindent 8 }}
        {{- .environment | trim | nindent 8 }}
        {{- with include "sequence.environment.settings" . | trim }}
        {{- . | nindent 8 }}
        {{- end }}
      {{- with .port }}
      ports:
        - {name: http, containerPort: {{ . }}}
      {{- end }}
      {{- with .probes }}
      {{- . | trim | nindent 6 }}
      {{- end }}
      resources:
        {{- toYaml .resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        {{- if $secrets }}
        - {name: secrets, mountPath: {{ include "sequence.secrets.directory" $root }}, readOnly: true}
        {{- end }}
        {{- with .mounts }}
        {{- . | trim | nindent 8 }}
        {{- end }}
  volumes:
    - {name: tmp, emptyDir: {sizeLimit: 256Mi}}
    {{- if $secrets }}
    - name: secrets
      projected:
        # 0444: the cluster may decide which user reads them.
        defaultMode: 292
        sources:
          {{- $secrets | nindent 10 }}
    {{- end }}
    {{- with .volumes }}
    {{- . | trim | nindent 4 }}
    {{- end }}
{{- end -}}
