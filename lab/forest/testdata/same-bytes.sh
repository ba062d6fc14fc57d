#!/bin/sh
# Fits and predicts in every way to compile that this machine can run, and
# compares with the hashes of TestGolden: GOAMD64=v3 fuses products and sums, and
# the tag purego leaves out the assembly.
cd "$(dirname "$0")/.." || exit
for level in v1 v2 v3; do
	for tags in none purego; do
		echo "GOAMD64=$level, tags $tags"
		GOAMD64=$level go test -tags $tags -count 1 -run TestGolden . || exit
	done
done
