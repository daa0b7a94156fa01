package broker

// A Direction is a way that messages take, seen from the gateway.
type Direction string

// The directions.
const (
	In  Direction = "in"
	Out Direction = "out"
)

// An Observer counts what happens at one broker. Its methods are called
// concurrently, and return at once.
type Observer interface {
	// Up and Down say whether the broker could last be reached.
	Up(Direction)
	Down(Direction)
	// Sent counts messages that are durable at the broker.
	Sent(n int)
	// Received counts messages of the inbox, each delivery of one; the others
	// count what became of them. Retried counts attempts, not messages.
	Received()
	Applied()
	Retried()
	Dead(Cause)
	// Waiting says how many messages of the inbox are not applied yet, as far
	// as this gateway can see.
	Waiting(n int64)
}

// Unobserved is the Observer of those who have none.
type Unobserved struct{}

// Up does nothing, and so do the others.
func (Unobserved) Up(Direction)   {}
func (Unobserved) Down(Direction) {}
func (Unobserved) Sent(int)       {}
func (Unobserved) Received()      {}
func (Unobserved) Applied()       {}
func (Unobserved) Retried()       {}
func (Unobserved) Dead(Cause)     {}
func (Unobserved) Waiting(int64)  {}
