package kafka

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// deadFor is how long dead letters are kept, in milliseconds: they hold what
// other systems say of people, and no erasure reaches them.
const deadFor = "1209600000"

// errTopics: topics cannot be made, or not be asked for.
var errTopics = errors.New("kafka: make topics")

// makeTopics makes those that are absent.
func makeTopics(ctx context.Context, cl *kgo.Client, names ...string) error {
	absent, err := absent(ctx, cl, names)
	if err != nil || len(absent) == 0 {
		return err
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	for _, name := range absent {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, -1, -1
		if name == Dead {
			keep := kmsg.NewCreateTopicsRequestTopicConfig()
			keep.Name, keep.Value = "retention.ms", kmsg.StringPtr(deadFor)
			topic.Configs = append(topic.Configs, keep)
		}
		req.Topics = append(req.Topics, topic)
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return errTopics
	}
	for _, topic := range resp.Topics {
		if err := kerr.ErrorForCode(topic.ErrorCode); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return errTopics
		}
	}
	return nil
}

// absent asks which topics are not there. A gateway that may not make topics
// may well use those that are.
func absent(ctx context.Context, cl *kgo.Client, names []string) (out []string, err error) {
	req := kmsg.NewPtrMetadataRequest()
	for _, name := range names {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, topic)
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, errTopics
	}
	for _, topic := range resp.Topics {
		switch err := kerr.ErrorForCode(topic.ErrorCode); {
		case errors.Is(err, kerr.UnknownTopicOrPartition) && topic.Topic != nil:
			out = append(out, *topic.Topic)
		case err != nil && !kerr.IsRetriable(err):
			return nil, errTopics
		}
	}
	return out, nil
}
