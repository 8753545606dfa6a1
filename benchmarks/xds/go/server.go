package main

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// everybody is served the same, as HFI serves the proxies of one cluster.
type everybody struct{}

func (everybody) ID(*core.Node) string { return "everybody" }

// runServer serves by SnapshotCache, as most who use go-control-plane do, the cluster that PUT /resource brings.
func runServer(xds, web string) {
	snapshots := cache.NewSnapshotCache(true, everybody{}, nil)
	var acks, version atomic.Int64
	callbacks := server.CallbackFuncs{
		StreamDeltaRequestFunc: func(_ int64, request *discovery.DeltaDiscoveryRequest) error {
			if request.ResponseNonce != "" && request.ErrorDetail == nil {
				acks.Add(1)
			}
			return nil
		},
	}
	serving := grpc.NewServer()
	discovery.RegisterAggregatedDiscoveryServiceServer(
		serving, server.NewServer(context.Background(), snapshots, callbacks))
	listener, err := net.Listen("tcp", xds)
	if err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(serving.Serve(listener)) }()

	http.HandleFunc("GET /acks", func(answer http.ResponseWriter, _ *http.Request) {
		if err := json.NewEncoder(answer).Encode(acks.Load()); err != nil {
			log.Print(err)
		}
	})
	http.HandleFunc("PUT /resource", func(answer http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		served := &cluster.Cluster{}
		if err == nil {
			err = proto.Unmarshal(body, served)
		}
		if err == nil {
			err = serve(snapshots, strconv.FormatInt(version.Add(1), 10), served)
		}
		if err != nil {
			http.Error(answer, err.Error(), http.StatusBadRequest)
		}
	})
	log.Fatal(http.ListenAndServe(web, nil))
}

func serve(snapshots cache.SnapshotCache, version string, served types.Resource) error {
	snapshot, err := cache.NewSnapshot(version, map[resource.Type][]types.Resource{resource.ClusterType: {served}})
	if err != nil {
		return err
	}
	return snapshots.SetSnapshot(context.Background(), "everybody", snapshot)
}
