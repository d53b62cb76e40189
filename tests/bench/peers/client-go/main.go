// What client-go costs for the same reads. `list` lists nodes and pods in pages of 500 into typed objects, the owners
// of replica sets, and usage, as a collector without a store does each cycle; `inform` keeps nodes and pods in
// informers, as one with a store does. Both as client-go does by default, gzip included, but for its limit of
// requests a second, and in the content type of the second argument: `json`, its default, or `protobuf`, where there
// is any. Prints a line when all are there, and then waits for its end on standard input.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	metrics "k8s.io/metrics/pkg/client/clientset/versioned"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	io.Copy(io.Discard, os.Stdin)
}

func run(arguments []string) error {
	if len(arguments) != 2 {
		return fmt.Errorf("expected two arguments, got %q", arguments)
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	// Five requests a second by default: the wall time would measure that.
	config.QPS = -1
	switch arguments[1] {
	case "json":
	case "protobuf":
		// The second is for resources without protobuf, as client-go's own programs have it.
		config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
		config.ContentType = "application/vnd.kubernetes.protobuf"
	default:
		return fmt.Errorf("expected json or protobuf, got %q", arguments[1])
	}
	switch arguments[0] {
	case "list":
		return list(context.Background(), config)
	case "inform":
		return inform(context.Background(), config)
	}
	return fmt.Errorf("expected list or inform, got %q", arguments[0])
}

func list(ctx context.Context, config *rest.Config) error {
	core, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	// Asks for protobuf whatever the configuration says.
	partial, err := metadata.NewForConfig(config)
	if err != nil {
		return err
	}
	usage, err := metrics.NewForConfig(config)
	if err != nil {
		return err
	}

	nodes, err := pages(func(options metav1.ListOptions) (int, string, error) {
		page, err := core.CoreV1().Nodes().List(ctx, options)
		return len(page.Items), page.Continue, err
	})
	if err != nil {
		return err
	}
	pods, err := pages(func(options metav1.ListOptions) (int, string, error) {
		page, err := core.CoreV1().Pods(metav1.NamespaceAll).List(ctx, options)
		return len(page.Items), page.Continue, err
	})
	if err != nil {
		return err
	}
	replicaSets := schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}
	owners, err := pages(func(options metav1.ListOptions) (int, string, error) {
		page, err := partial.Resource(replicaSets).List(ctx, options)
		if err != nil {
			return 0, "", err
		}
		return len(page.Items), page.Continue, nil
	})
	if err != nil {
		return err
	}
	// In one piece, as metrics-server answers.
	nodeUsage, err := usage.MetricsV1beta1().NodeMetricses().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	podUsage, err := usage.MetricsV1beta1().PodMetricses(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	fmt.Printf("%d nodes, %d pods, %d replica sets, %d and %d measured\n",
		nodes, pods, owners, len(nodeUsage.Items), len(podUsage.Items))
	return nil
}

// Reads every page, each object once, and keeps none: the cheapest that a typed list can be. `read` says how many
// objects a page has, and where the next one continues.
func pages(read func(metav1.ListOptions) (int, string, error)) (int, error) {
	options := metav1.ListOptions{Limit: 500}
	count := 0
	for {
		length, token, err := read(options)
		if err != nil {
			return 0, err
		}
		count += length
		if token == "" {
			return count, nil
		}
		options.Continue = token
	}
}

func inform(ctx context.Context, config *rest.Config) error {
	core, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(core, 0)
	nodes, pods := factory.Core().V1().Nodes().Informer(), factory.Core().V1().Pods().Informer()
	factory.Start(ctx.Done())
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("%v never came", kind)
		}
	}
	fmt.Printf("%d nodes, %d pods\n", len(nodes.GetStore().ListKeys()), len(pods.GetStore().ListKeys()))
	return nil
}
