"""What an operator does about tables and positions: reads Kafka and ClickHouse as any client would."""
