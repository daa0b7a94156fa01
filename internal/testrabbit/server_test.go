package testrabbit

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// A killed server is there again on its ports, with what was durable, after
// Restart.
func TestAServerIsKilledAndStartedAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a RabbitMQ server")
	}
	s := Start(t)
	c, err := amqp.Dial(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ch, err := c.Channel()
	if err != nil {
		t.Fatal(err)
	}
	// RabbitMQ syncs its log after a declaration, unless it takes it for one that
	// wrote nothing, as may happen while it makes its log shorter soon after its
	// start; then the log is in memory for two seconds. What is declared next
	// syncs for both.
	for _, name := range []string{"q", "r", "s"} {
		if _, err := ch.QueueDeclare(name, true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
	}
	s.Kill()
	if _, err := amqp.Dial(s.URL()); err == nil {
		t.Fatal("a killed server answers")
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	c, err = amqp.Dial(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if ch, err = c.Channel(); err != nil {
		t.Fatal(err)
	}
	if _, err := ch.QueueDeclarePassive("q", true, false, false, false, nil); err != nil {
		t.Error("a durable queue is gone:", err)
	}
}
