package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// fetchManifest puts a manifest's files and its statement into a directory,
// which is there only when all of them are.
func fetchManifest(ctx context.Context, c *client, m manifestAnswer, dir string) error {
	part := filepath.Clean(dir) + ".part"
	if err := os.RemoveAll(part); err != nil {
		return fmt.Errorf("clear what an earlier attempt left: %w", err)
	}
	defer os.RemoveAll(part)
	files := map[string]string{"statement.json": path("v1", "manifests", m.ID, "statement")}
	for _, f := range m.Files {
		if !fs.ValidPath(f.Name) {
			return errors.New("the gateway names a file that leads elsewhere")
		}
		// Each element by itself: the slashes are the route's.
		files[f.Name] = path("v1", "manifests", m.ID, "files") + path(strings.Split(f.Name, "/")...)
	}
	for name, from := range files {
		if err := fetchFile(ctx, c, from, filepath.Join(part, filepath.FromSlash(name))); err != nil {
			return err
		}
	}
	if err := os.Rename(part, dir); err != nil {
		return fmt.Errorf("put the manifest in place: %w", err)
	}
	return nil
}

func fetchFile(ctx context.Context, c *client, from, to string) error {
	resp, err := c.do(ctx, http.MethodGet, from, "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return fmt.Errorf("make the manifest's directory: %w", err)
	}
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("make a file of the manifest: %w", err)
	}
	if _, err := io.Copy(f, resp.Body); err != nil {
		f.Close()
		return fmt.Errorf("fetch a file of the manifest: %w", err)
	}
	return f.Close()
}
