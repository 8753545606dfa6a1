// What benchmarks/xds needs of Go: clients that are no bottleneck, and go-control-plane as the peer.
//
//	xds client -to HOST:PORT -streams N -cluster NAME
//	xds server -xds HOST:PORT -http HOST:PORT
package main

import (
	"flag"
	"log"
	"os"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal("say client or server")
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	switch os.Args[1] {
	case "client":
		to := flags.String("to", "", "the control plane")
		streams := flags.Int("streams", 1, "delta ADS streams, each on a connection of its own")
		cluster := flags.String("cluster", "", "node.cluster of all of them")
		parse(flags)
		runClient(*to, *streams, *cluster)
	case "server":
		xds := flags.String("xds", "", "where ADS is served")
		web := flags.String("http", "", "where it is told what to serve, and tells what was acknowledged")
		parse(flags)
		runServer(*xds, *web)
	default:
		log.Fatal("say client or server")
	}
}

func parse(flags *flag.FlagSet) {
	if err := flags.Parse(os.Args[2:]); err != nil {
		log.Fatal(err)
	}
}
