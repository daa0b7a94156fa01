// Package testkafka starts brokers for tests that speak Kafka's protocol on a
// socket of 127.0.0.1: those of franz-go's kfake, in the test's own process,
// since Kafka itself needs more than can be had. What they took is synced to a
// directory and there again after a restart; they cannot be killed, only ended.
package testkafka
