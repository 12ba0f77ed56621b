{{/* What values.schema.json cannot say in a sentence. */}}

{{- define "sequence.checks" -}}
{{- $kafka := .Values.kafka -}}
{{- if not $kafka.servers -}}
{{- fail "kafka.servers is empty. Set it to the addresses of your brokers, such as kafka-1:9092,kafka-2:9092." -}}
{{- end -}}
{{- if not .Values.clickhouse.url -}}
{{- fail "clickhouse.url is empty. Set it to the HTTP address of one ClickHouse replica, such as http://clickhouse:8123." -}}
{{- end -}}
{{- if contains "@" .Values.clickhouse.url -}}
{{- fail "clickhouse.url has a login, which would be visible in the pods. Use clickhouse.username and clickhouse.passwordSecret." -}}
{{- end -}}
{{- if and (hasPrefix "SASL" $kafka.securityProtocol) (not (and $kafka.username $kafka.passwordSecret.name)) -}}
{{- fail (printf "kafka.securityProtocol is %s, which needs kafka.username and kafka.passwordSecret.name." $kafka.securityProtocol) -}}
{{- end -}}
{{- if and .Values.console.enabled (not .Values.clickhouse.analystPasswordSecret.name) -}}
{{- fail "The console reads as the user analyst. Set clickhouse.analystPasswordSecret.name, or console.enabled to false." -}}
{{- end -}}
{{- if gt (int .Values.topics.minInsyncReplicas) (int .Values.topics.replicationFactor) -}}
{{- fail (printf "topics.minInsyncReplicas is %v, more than topics.replicationFactor, which is %v. Kafka would reject all records." .Values.topics.minInsyncReplicas .Values.topics.replicationFactor) -}}
{{- end -}}
{{- $partitions := int .Values.topics.partitions -}}
{{- range $kind, $worker := .Values.workers -}}
{{- $scaled := $worker.autoscaling.enabled -}}
{{- $fewest := int (ternary $worker.autoscaling.minReplicas $worker.replicas $scaled) -}}
{{- $most := int (ternary (default $partitions $worker.autoscaling.maxReplicas) $worker.replicas $scaled) -}}
{{- if gt $most $partitions -}}
{{- fail (printf "workers.%s: %d workers, but topics.partitions is %d. The workers beyond would get no partition." $kind $most $partitions) -}}
{{- end -}}
{{- if gt $fewest $most -}}
{{- fail (printf "workers.%s.autoscaling.minReplicas is %d, more than the largest number, which is %d." $kind $fewest $most) -}}
{{- end -}}
{{- if and (hasKey $worker "standbys") (le $fewest (int $worker.standbys)) -}}
{{- fail (printf "workers.%s.standbys is %d, which needs at least %d workers, but there can be %d." $kind (int $worker.standbys) (add1 (int $worker.standbys)) $fewest) -}}
{{- end -}}
{{- end -}}
{{- end -}}
