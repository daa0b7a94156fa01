// Package postgres: to be written.
package postgres
