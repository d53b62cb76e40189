package main

import (
	"net"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

// What crosses the loopback device between this program and the API server crosses it once more on its way to the
// client: who counts there can take this off.
var sent = metrics.NewCounter(&metrics.CounterOpts{
	Name: "metrics_server_sent_bytes_total",
	Help: "Bytes written to the connections of clients, encrypted as they are.",
})

func init() { legacyregistry.MustRegister(sent) }

// counting counts what is written to the connections that it accepts.
type counting struct{ net.Listener }

func (it counting) Accept() (net.Conn, error) {
	accepted, err := it.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return counted{accepted}, nil
}

type counted struct{ net.Conn }

func (it counted) Write(bytes []byte) (int, error) {
	n, err := it.Conn.Write(bytes)
	sent.Add(float64(n))
	return n, err
}
