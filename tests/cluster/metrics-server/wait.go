package main

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// How long the API server may take to follow, on a busy machine.
const patience = 60 * time.Second

// untilDone tries again until it works or patience ends.
func untilDone(what string, try func() error) error {
	var last error
	err := wait.PollImmediate(100*time.Millisecond, patience, func() (bool, error) {
		last = try()
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w: %v", what, err, last)
	}
	return nil
}
