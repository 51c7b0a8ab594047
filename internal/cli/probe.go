package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

type probeOptions struct {
	address, user, passwordFile string
	timeout                     time.Duration
}

func (a *app) probeCommand() *cobra.Command {
	var opt probeOptions
	cmd := &cobra.Command{
		Use: "probe [livez|readyz]", GroupID: "keep", Short: "Ask a running daemon whether it lives, or is ready",
		ValidArgs: []string{"livez", "readyz"},
		Long: `Ask a running daemon whether it lives (livez, the default) or is ready (readyz), and print its answer: for containers without a
shell, and for probes under TLS or basic authentication. The database is not asked. Of an address on this machine the
certificate is not verified. Exit code 0: yes; 1: no, or no answer.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 1 && args[0] != "livez" && args[0] != "readyz" {
				return fmt.Errorf("probe %s: say livez or readyz", strings.Join(args, " "))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			what := "livez"
			if len(args) == 1 {
				what = args[0]
			}
			return a.probe(cmd.Context(), what, opt)
		},
	}
	cmd.Flags().StringVar(&opt.address, "address", "http://127.0.0.1:9818", "where the daemon listens; https:// for TLS (`URL`)")
	cmd.Flags().StringVar(&opt.user, "user", "", "of basic authentication (`name`)")
	cmd.Flags().StringVar(&opt.passwordFile, "password-file", "", "holds the password of that user (`file`)")
	cmd.Flags().DurationVar(&opt.timeout, "timeout", 2*time.Second, "how long to wait for an answer")
	return cmd
}

func (a *app) probe(ctx context.Context, what string, opt probeOptions) error {
	at, err := url.Parse(opt.address)
	if err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" {
		return fmt.Errorf("--address %q: write for example https://127.0.0.1:9818", opt.address)
	}
	at.Path = "/" + what
	ctx, cancel := context.WithTimeout(ctx, opt.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return fmt.Errorf("--address %q: %w", opt.address, err)
	}
	if opt.user != "" {
		password, err := os.ReadFile(opt.passwordFile)
		if err != nil {
			return fmt.Errorf("read the password of %s (--password-file): %w", opt.user, err)
		}
		request.SetBasicAuth(opt.user, strings.TrimRight(string(password), "\r\n"))
	}
	// No proxy stands between a probe and its daemon.
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: isLoopback(at.Hostname())}}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return fmt.Errorf("probe %s: %w", at.Redacted(), err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("probe %s: read the answer: %w", at.Redacted(), err)
	}
	fmt.Fprintln(a.stdout, strings.TrimSpace(string(answer)))
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("probe %s: %s", at.Redacted(), response.Status)
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
