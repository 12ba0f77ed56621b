{{/* Variables of the containers. Passwords come from files of Secrets: docs/settings.md describes the suffix _FILE. */}}

{{- define "sequence.secrets.directory" -}}/etc/sequence/secrets{{- end -}}

{{/* For every process. Any user may run it: no entry of /etc/passwd is needed, and /tmp is writable. */}}
{{- define "sequence.environment" -}}
- {name: HOME, value: /tmp}
- {name: USER, value: sequence}
{{- end -}}

{{/* Those of `settings` that the component reads: (dict "root" . "prefixes" (list "SEQUENCE_GATEWAY_")) */}}
{{- define "sequence.environment.settings" -}}
{{- $own := .prefixes -}}
{{- range $name, $value := .root.Values.settings }}
{{- $read := true -}}
{{- range list "SEQUENCE_GATEWAY_" "SEQUENCE_WORKER_" "SEQUENCE_CONSOLE_" -}}
{{- if and (hasPrefix . $name) (not (has . $own)) -}}{{- $read = false -}}{{- end -}}
{{- end }}
{{- if $read }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}
{{- end -}}

{{- define "sequence.environment.kafka" -}}
{{- $kafka := .Values.kafka -}}
- {name: SEQUENCE_KAFKA_SERVERS, value: {{ $kafka.servers | quote }}}
- {name: SEQUENCE_TOPIC_PREFIX, value: {{ $kafka.topicPrefix | quote }}}
- {name: SEQUENCE_KAFKA_SECURITY_PROTOCOL, value: {{ $kafka.securityProtocol | quote }}}
{{- if hasPrefix "SASL" $kafka.securityProtocol }}
- {name: SEQUENCE_KAFKA_SASL_MECHANISM, value: {{ $kafka.saslMechanism | quote }}}
- {name: SEQUENCE_KAFKA_USERNAME, value: {{ $kafka.username | quote }}}
- {name: SEQUENCE_KAFKA_PASSWORD_FILE, value: {{ include "sequence.secrets.directory" . }}/kafka-password}
{{- end }}
{{- if and (hasSuffix "SSL" $kafka.securityProtocol) $kafka.caSecret.name }}
- {name: SEQUENCE_KAFKA_CA_FILE, value: {{ include "sequence.secrets.directory" . }}/kafka-ca.crt}
{{- end }}
{{- if and (hasSuffix "SSL" $kafka.securityProtocol) $kafka.certificateSecret.name }}
- {name: SEQUENCE_KAFKA_CERT_FILE, value: {{ include "sequence.secrets.directory" . }}/kafka.crt}
- {name: SEQUENCE_KAFKA_KEY_FILE, value: {{ include "sequence.secrets.directory" . }}/kafka.key}
{{- end }}
{{- end -}}

{{/* Address of ClickHouse, without a login. */}}
{{- define "sequence.environment.clickhouse" -}}
{{- $clickhouse := .Values.clickhouse -}}
- {name: SEQUENCE_CLICKHOUSE_URL, value: {{ $clickhouse.url | quote }}}
- {name: SEQUENCE_CLICKHOUSE_DATABASE, value: {{ $clickhouse.database | quote }}}
{{- if $clickhouse.cluster }}
- {name: SEQUENCE_CLICKHOUSE_CLUSTER, value: {{ $clickhouse.cluster | quote }}}
{{- end }}
{{- if $clickhouse.caSecret.name }}
- {name: SEQUENCE_CLICKHOUSE_CA_FILE, value: {{ include "sequence.secrets.directory" . }}/clickhouse-ca.crt}
{{- end }}
{{- if $clickhouse.certificateSecret.name }}
- {name: SEQUENCE_CLICKHOUSE_CERT_FILE, value: {{ include "sequence.secrets.directory" . }}/clickhouse.crt}
- {name: SEQUENCE_CLICKHOUSE_KEY_FILE, value: {{ include "sequence.secrets.directory" . }}/clickhouse.key}
{{- end }}
{{- end -}}

{{- define "sequence.environment.writer" -}}
- {name: SEQUENCE_CLICKHOUSE_USERNAME, value: {{ .Values.clickhouse.username | quote }}}
{{- if .Values.clickhouse.passwordSecret.name }}
- {name: SEQUENCE_CLICKHOUSE_PASSWORD_FILE, value: {{ include "sequence.secrets.directory" . }}/clickhouse-password}
{{- end }}
{{- end -}}

{{- define "sequence.environment.analyst" -}}
{{- if .Values.clickhouse.analystPasswordSecret.name }}
- {name: SEQUENCE_CLICKHOUSE_ANALYST_PASSWORD_FILE, value: {{ include "sequence.secrets.directory" . }}/analyst-password}
{{- end }}
{{- end -}}

{{/*
Items of the Secrets that a component needs, for a projected volume: (dict "root" . "logins" (list "kafka" "writer"))
Logins are `kafka`, `writer` and `analyst`.
*/}}
{{- define "sequence.secrets" -}}
{{- $kafka := .root.Values.kafka -}}
{{- $clickhouse := .root.Values.clickhouse -}}
{{- if has "kafka" .logins }}
{{- if hasPrefix "SASL" $kafka.securityProtocol }}
{{ include "sequence.secret" (dict "from" $kafka.passwordSecret "path" "kafka-password") }}
{{- end }}
{{- if and (hasSuffix "SSL" $kafka.securityProtocol) $kafka.caSecret.name }}
{{ include "sequence.secret" (dict "from" $kafka.caSecret "path" "kafka-ca.crt") }}
{{- end }}
{{- if and (hasSuffix "SSL" $kafka.securityProtocol) $kafka.certificateSecret.name }}
{{ include "sequence.secret.certificate" (dict "from" $kafka.certificateSecret "name" "kafka") }}
{{- end }}
{{- end }}
{{- if and (has "writer" .logins) $clickhouse.passwordSecret.name }}
{{ include "sequence.secret" (dict "from" $clickhouse.passwordSecret "path" "clickhouse-password") }}
{{- end }}
{{- if and (has "analyst" .logins) $clickhouse.analystPasswordSecret.name }}
{{ include "sequence.secret" (dict "from" $clickhouse.analystPasswordSecret "path" "analyst-password") }}
{{- end }}
{{- if and (or (has "writer" .logins) (has "analyst" .logins)) $clickhouse.caSecret.name }}
{{ include "sequence.secret" (dict "from" $clickhouse.caSecret "path" "clickhouse-ca.crt") }}
{{- end }}
{{- if and (or (has "writer" .logins) (has "analyst" .logins)) $clickhouse.certificateSecret.name }}
{{ include "sequence.secret.certificate" (dict "from" $clickhouse.certificateSecret "name" "clickhouse") }}
{{- end }}
{{- end -}}

{{- define "sequence.secret" -}}
- secret:
    name: {{ .from.name }}
    items: [{key: {{ .from.key | quote }}, path: {{ .path }}}]
{{- end -}}

{{- define "sequence.secret.certificate" -}}
- secret:
    name: {{ .from.name }}
    items: [{key: {{ .from.certificateKey | quote }}, path: {{ .name }}.crt}, {key: {{ .from.privateKeyKey | quote }}, path: {{ .name }}.key}]
{{- end -}}
