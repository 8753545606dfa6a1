package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const clusterType = "type.googleapis.com/envoy.config.cluster.v3.Cluster"

// The number of a change stands in the resource itself, whoever serves it.
var marker = regexp.MustCompile(`change-([0-9]+)\.`)

// arrivals is what became of one change: times in nanoseconds of the Unix epoch.
type arrivals struct {
	Change  int   `json:"change"`
	Streams int   `json:"streams"`
	First   int64 `json:"first"`
	Last    int64 `json:"last"`
	Acked   int64 `json:"acked"`
	Bytes   int   `json:"bytes"`
}

type board struct {
	sync.Mutex
	streams   int
	changes   map[int]*arrivals
	newest    []int
	responses int
}

// acked notes that a stream has taken a change, and says so when it was the last one to.
func (b *board) acked(stream, change, bytes int, received, acked int64) {
	b.Lock()
	defer b.Unlock()
	b.responses++
	b.newest[stream] = change
	found := b.changes[change]
	if found == nil {
		found = &arrivals{Change: change, First: received, Bytes: bytes}
		b.changes[change] = found
	}
	found.Streams++
	found.First = min(found.First, received)
	found.Last = max(found.Last, received)
	found.Acked = max(found.Acked, acked)
	if found.Streams == b.streams {
		say(found)
		delete(b.changes, change)
	}
}

// state says how far the streams are; SIGUSR1 asks for it.
func (b *board) state() {
	b.Lock()
	defer b.Unlock()
	at := map[string]int{}
	for _, change := range b.newest {
		at[strconv.Itoa(change)]++
	}
	say(map[string]any{"responses": b.responses, "at": at})
}

func say(what any) {
	line, err := json.Marshal(what)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(line))
}

func runClient(to string, streams int, cluster string) {
	found := &board{streams: streams, changes: map[int]*arrivals{}, newest: make([]int, streams)}
	// Fifty connect at a time: a control plane's backlog is not what is measured.
	begin := make(chan struct{}, 50)
	for number := range streams {
		go follow(to, cluster, number, found, begin)
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	for range asked {
		found.state()
	}
}

func follow(to, cluster string, number int, found *board, begin chan struct{}) {
	begin <- struct{}{}
	connection, err := grpc.NewClient(to, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(connection).DeltaAggregatedResources(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	node := &core.Node{Id: fmt.Sprintf("%s-%d", cluster, number), Cluster: cluster}
	if err := stream.Send(&discovery.DeltaDiscoveryRequest{Node: node, TypeUrl: clusterType}); err != nil {
		log.Fatal(err)
	}
	for first := true; ; first = false {
		response, err := stream.Recv()
		if err != nil {
			log.Fatalf("stream %d: %v", number, err)
		}
		received := time.Now().UnixNano()
		ack := &discovery.DeltaDiscoveryRequest{TypeUrl: response.TypeUrl, ResponseNonce: response.Nonce}
		if err := stream.Send(ack); err != nil {
			log.Fatalf("stream %d: %v", number, err)
		}
		acked := time.Now().UnixNano()
		if first {
			<-begin
		}
		for _, one := range response.Resources {
			if change := changeOf(one.Resource.GetValue()); change >= 0 {
				found.acked(number, change, len(one.Resource.GetValue()), received, acked)
			}
		}
	}
}

func changeOf(body []byte) int {
	hit := marker.FindSubmatch(body)
	if hit == nil {
		return -1
	}
	number, err := strconv.Atoi(string(hit[1]))
	if err != nil {
		return -1
	}
	return number
}
