// What metrics-server is to a cluster, for the tests: an aggregated API server for metrics.k8s.io, made of the same
// library (k8s.io/apiserver) and the same types (k8s.io/metrics), so that lists come in one piece, in JSON or in
// protobuf, gzipped where that is asked for, without managedFields, and cannot be watched. Only that it measures
// nothing: its numbers are those of the custom resources that are there when it starts.
//
//	metrics-server --kubeconfig FILE --port PORT
//
// It listens on loopback alone and asks nobody who he is: the API server before it does that.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/options"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/metrics/pkg/apis/metrics"
	"k8s.io/metrics/pkg/apis/metrics/install"
	"k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "how the cluster is reached, with all rights")
	port := flag.Int("port", 0, "where to listen, on loopback")
	flag.Parse()
	if err := run(*kubeconfig, *port, server.SetupSignalHandler()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(kubeconfig string, port int, stop <-chan struct{}) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	// Five requests a second by default: the start would wait for that.
	config.QPS = -1
	group, err := newGroup(config, port)
	if err != nil {
		return err
	}
	// One that was killed still has the group, and the custom resources are not to be read until it is free.
	if err := group.giveBack(); err != nil {
		return err
	}
	var pods, nodes []object
	// The API server serves the custom resources a moment after it has registered them.
	err = untilDone("reading the custom resources", func() (err error) {
		pods, nodes, err = read(config)
		return err
	})
	if err != nil {
		return err
	}
	// Only now: what is asked for before shall fail.
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	apiServer, err := newServer(counting{listener}, map[string]rest.Storage{
		"pods":  newPodStorage(pods),
		"nodes": newNodeStorage(nodes),
	})
	if err != nil {
		return err
	}
	apiServer.AddPostStartHookOrDie("take-the-group", func(server.PostStartHookContext) error { return group.take() })
	if err := apiServer.AddPreShutdownHook("give-the-group-back", group.giveBack); err != nil {
		return err
	}
	return apiServer.PrepareRun().Run(stop)
}

func newServer(listener net.Listener, storage map[string]rest.Storage) (*server.GenericAPIServer, error) {
	scheme := runtime.NewScheme()
	install.Install(scheme)
	// What every API group answers with, beside its own kinds, in the one version that these have.
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	codecs := serializer.NewCodecFactory(scheme)

	serving := options.SecureServingOptions{Listener: listener, BindAddress: net.IPv4(127, 0, 0, 1)}
	if err := serving.MaybeDefaultWithSelfSignedCerts("localhost", nil, nil); err != nil {
		return nil, err
	}
	config := server.NewRecommendedConfig(codecs)
	if err := serving.WithLoopback().ApplyTo(&config.SecureServing, &config.LoopbackClientConfig); err != nil {
		return nil, err
	}
	apiServer, err := config.Complete().New("metrics-server", server.NewEmptyDelegate())
	if err != nil {
		return nil, err
	}
	group := server.NewDefaultAPIGroupInfo(metrics.GroupName, scheme, metav1.ParameterCodec, codecs)
	group.VersionedResourcesStorageMap[v1beta1.SchemeGroupVersion.Version] = storage
	return apiServer, apiServer.InstallAPIGroup(&group)
}
