// Package durable makes files and folders survive a power cut, on every system that a provider runs on.
package durable
