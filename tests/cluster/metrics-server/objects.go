package main

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/metrics/pkg/apis/metrics"
	"k8s.io/metrics/pkg/apis/metrics/v1beta1"
	"k8s.io/metrics/pkg/client/clientset/versioned"
)

// read takes the numbers from the custom resources of the same group, and the labels from the pods and nodes
// themselves.
func read(config *rest.Config) (pods, nodes []object, err error) {
	ctx := context.Background()
	usage, err := versioned.NewForConfig(config)
	if err != nil {
		return nil, nil, err
	}
	podLabels, err := readLabels(ctx, config, "pods")
	if err != nil {
		return nil, nil, err
	}
	nodeLabels, err := readLabels(ctx, config, "nodes")
	if err != nil {
		return nil, nil, err
	}
	err = pages(func(options metav1.ListOptions) (string, error) {
		page, err := usage.MetricsV1beta1().PodMetricses(metav1.NamespaceAll).List(ctx, options)
		if err != nil {
			return "", err
		}
		for i := range page.Items {
			pod := &metrics.PodMetrics{}
			if err := v1beta1.Convert_v1beta1_PodMetrics_To_metrics_PodMetrics(&page.Items[i], pod, nil); err != nil {
				return "", err
			}
			pod.ObjectMeta = measured(pod.ObjectMeta, podLabels)
			pods = append(pods, pod)
		}
		return page.Continue, nil
	})
	if err != nil {
		return nil, nil, err
	}
	err = pages(func(options metav1.ListOptions) (string, error) {
		page, err := usage.MetricsV1beta1().NodeMetricses().List(ctx, options)
		if err != nil {
			return "", err
		}
		for i := range page.Items {
			node := &metrics.NodeMetrics{}
			if err := v1beta1.Convert_v1beta1_NodeMetrics_To_metrics_NodeMetrics(&page.Items[i], node, nil); err != nil {
				return "", err
			}
			node.ObjectMeta = measured(node.ObjectMeta, nodeLabels)
			nodes = append(nodes, node)
		}
		return page.Continue, nil
	})
	return pods, nodes, err
}

// place is a namespace, none for a node, and a name.
type place [2]string

// measured is all the metadata that metrics-server gives: the name, and the labels of what is measured.
func measured(found metav1.ObjectMeta, labels map[place]map[string]string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: found.Namespace,
		Name:      found.Name,
		Labels:    labels[place{found.Namespace, found.Name}],
	}
}

func readLabels(ctx context.Context, config *rest.Config, resource string) (map[place]map[string]string, error) {
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	labels := map[place]map[string]string{}
	err = pages(func(options metav1.ListOptions) (string, error) {
		page, err := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: resource}).List(ctx, options)
		if err != nil {
			return "", err
		}
		for _, it := range page.Items {
			labels[place{it.Namespace, it.Name}] = it.Labels
		}
		return page.Continue, nil
	})
	return labels, err
}

// pages reads every page of a list; `read` says where the next one continues.
func pages(read func(metav1.ListOptions) (string, error)) error {
	options := metav1.ListOptions{Limit: 500}
	for {
		token, err := read(options)
		if err != nil || token == "" {
			return err
		}
		options.Continue = token
	}
}
