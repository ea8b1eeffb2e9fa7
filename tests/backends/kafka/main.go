// A Kafka broker in memory, for tests of the Collector's exporter to Kafka and receiver from it.
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"

	"github.com/twmb/franz-go/pkg/kfake"
)

const version = "1.0.0"

func main() {
	showVersion := flag.Bool("version", false, "print the version and exit")
	port := flag.Int("port", 0, "port of the broker")
	ready := flag.String("ready", "", "address that responds to HTTP once the broker is up")
	flag.Parse()
	if *showVersion {
		fmt.Println("kafka", version)
		return
	}
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.Ports(*port),
		kfake.SeedTopics(2, flag.Args()...),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer cluster.Close()
	log.Fatal(http.ListenAndServe(*ready, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
}
