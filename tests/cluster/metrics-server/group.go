package main

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	registration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"
	"k8s.io/kube-aggregator/pkg/controllers/autoregister"
	"k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

const (
	namespace = "kube-system"
	service   = "metrics-server"
)

// group says who serves metrics.k8s.io: the API server itself, from custom resources, or this program. Its name is the
// APIService's.
type group struct {
	core       kubernetes.Interface
	aggregator clientset.Interface
	name       string
	port       int32
}

func newGroup(config *rest.Config, port int) (*group, error) {
	core, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	aggregator, err := clientset.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	version := v1beta1.SchemeGroupVersion
	return &group{core, aggregator, version.Version + "." + version.Group, int32(port)}, nil
}

// take makes the API server ask this program from now on.
func (it *group) take() error {
	ctx := context.Background()
	wanted := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: service},
		// It is no pod: a name of this machine is all that the API server needs.
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "localhost"},
	}
	registrations := it.aggregator.ApiregistrationV1().APIServices()
	return untilDone("taking the group", func() error {
		_, err := it.core.CoreV1().Services(namespace).Create(ctx, wanted, metav1.CreateOptions{})
		if err != nil && !errors.IsAlreadyExists(err) {
			return err
		}
		found, err := registrations.Get(ctx, it.name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		// With its label the API server would write the registration anew.
		delete(found.Labels, autoregister.AutoRegisterManagedLabel)
		found.Spec.Service = &registration.ServiceReference{Namespace: namespace, Name: service, Port: &it.port}
		// As metrics-server's own manifest has it.
		found.Spec.InsecureSkipTLSVerify = true
		_, err = registrations.Update(ctx, found, metav1.UpdateOptions{})
		return err
	})
}

// giveBack has the API server serve the group itself, as it registers anew for its custom resources what is gone.
func (it *group) giveBack() error {
	ctx := context.Background()
	registrations := it.aggregator.ApiregistrationV1().APIServices()
	return untilDone("giving the group back", func() error {
		found, err := registrations.Get(ctx, it.name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if found.Spec.Service == nil {
			return nil
		}
		if err := registrations.Delete(ctx, it.name, metav1.DeleteOptions{}); err != nil {
			return err
		}
		return fmt.Errorf("the API server has not registered the group yet")
	})
}
