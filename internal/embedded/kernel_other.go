//go:build !amd64

package embedded

func pickKernel() kernel { return dotGeneric }
