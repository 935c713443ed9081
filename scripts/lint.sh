#!/bin/sh
# Format, vet and staticcheck. Prints what is wrong and fails.
set -eu
gofumpt="mvdan.cc/gofumpt@v0.12.0"
staticcheck="honnef.co/go/tools/cmd/staticcheck@v0.8.2"
out=$(go run "$gofumpt" -l .)
if [ -n "$out" ]; then
	echo "not formatted (run: go run $gofumpt -w .):" >&2
	echo "$out" >&2
	exit 1
fi
go vet ./...
go run "$staticcheck" ./...
