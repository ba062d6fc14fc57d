package importer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// KTHSHA256 is the hash of the trace published with the paper, data_CNSM_2022.csv
// of the repository foroughsh/KTH-traces: 45,343 steps of two services on two
// nodes. It holds means of d_ij only: their counts and percentiles are missing,
// and so are all d_i.
const KTHSHA256 = "0b18a7b8cad626e3f39d13cdd9911d9b8b35b10ea27c436d014a632008ea558a"

// Presets of the published trace.
const (
	// KTHAsPublished takes labels and zeros as the file has them, as the authors
	// did: p11 and p21 as labelled, a delay of 0 as a delay.
	KTHAsPublished = "kth-2022-as-published"
	// KTHCorrected undoes the swap of the labels p11 and p21, and takes a delay of
	// 0 as missing, with a count of 0.
	KTHCorrected = "kth-2022"
)

// ErrNoKTH says that the published trace is not on this machine.
var ErrNoKTH = errors.New("the published trace is not here")

// FindKTH returns the path of the published trace: the file that the
// environment variable KTH_TRACE names, else ../shared/kth/data_CNSM_2022.csv
// beside the module's root, which is looked for upwards from the working
// directory. Where there is neither, the error is ErrNoKTH; a KTH_TRACE that
// names no file is another error.
func FindKTH() (string, error) {
	if path := os.Getenv("KTH_TRACE"); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("KTH_TRACE: %w", err)
		}
		return path, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%w: KTH_TRACE is not set, and no go.mod is above the working directory", ErrNoKTH)
		}
		dir = filepath.Dir(dir)
	}
	path := filepath.Join(filepath.Dir(dir), "shared", "kth", "data_CNSM_2022.csv")
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%w: KTH_TRACE is not set, and there is no %s", ErrNoKTH, path)
	}
	return path, nil
}
