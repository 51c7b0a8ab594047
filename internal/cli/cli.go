// Package cli is pgtender's command line: one file a command. It is the only place where packages are wired together;
// they know nothing of flags, terminals or exit codes.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"

	"github.com/pgtender/pgtender/internal/config"
)

// app is one invocation: the world it runs in and the flags that every command shares.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string

	configFile string
	envName    string
	vars       []string
	url        string
	devURL     string
	to         []string
	logFormat  string
	logLevel   string
}

// Main runs one command and returns the process's exit code.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, getenv: getenv}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	return a.report(ctx, cmd, err)
}

// report prints what went wrong, for a person, and picks the exit code.
func (a *app) report(ctx context.Context, cmd *cobra.Command, err error) int {
	if err == nil {
		return exitOK
	}
	var code exitCode
	if errors.As(err, &code) {
		return int(code)
	}
	text := strings.TrimSpace(err.Error())
	if ctx.Err() != nil { // by whoever reads this
		text = strings.ReplaceAll(text, context.Canceled.Error(), "stopped")
	}
	fmt.Fprintf(a.stderr, "pgtender: %s\n", text)
	if cmd != nil && cmd.Name() == "check" {
		return exitUnknown
	}
	return codeOf(err)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "pgtender",
		Short: "Tends a PostgreSQL 18 database: its schema, partitions, archive, materialised views and I/O settings",
		Long: `pgtender brings a PostgreSQL 18 database to the schema that atlas.hcl declares, then keeps partitions ahead,
archives what is old, refreshes materialised views, watches asynchronous I/O, and tells Prometheus when something is wrong.`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	flags := root.PersistentFlags()
	flags.StringVarP(&a.configFile, "config", "c", "", "the `file` that declares the schema and how it is kept (default atlas.hcl)")
	flags.StringVar(&a.envName, "env", "", "the env block to use; may be left out when the file has one (`name`)")
	flags.StringArrayVar(&a.vars, "var", nil, "value of a variable of the file (`name=value`); may be given again")
	flags.StringVar(&a.url, "url", "", "the database; overrides the file (`connection string`)")
	flags.StringVar(&a.devURL, "dev-url", "", "where scratch databases may be made; overrides the file (`connection string`)")
	flags.StringSliceVar(&a.to, "to", nil, "the declared schema: .hcl and .sql files or folders; overrides the file (`src`)")
	flags.StringVar(&a.logFormat, "log-format", "console", "console or json")
	flags.StringVar(&a.logLevel, "log-level", "info", "debug, info, warn or error")
	root.AddGroup(
		&cobra.Group{ID: "schema", Title: "The schema:"},
		&cobra.Group{ID: "keep", Title: "Keeping it:"},
		&cobra.Group{ID: "other", Title: "Other:"})
	root.AddCommand(
		a.planCommand(), a.applyCommand(), a.driftCommand(),
		a.runCommand(), a.jobCommand(), a.checkCommand(), a.ioCommand(), a.archiveCommand(), a.grantsCommand(), a.probeCommand(),
		a.devCommand(), a.versionCommand())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; see: %s --help", err, cmd.CommandPath())
	})
	root.SetHelpCommandGroupID("other")
	root.SetCompletionCommandGroupID("other")
	return root
}

// load reads the configuration with the flags laid over it.
func (a *app) load() (*config.Env, error) {
	vars := map[string]string{}
	for _, v := range a.vars {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--var %q is not of the form name=value", v)
		}
		vars[name] = value
	}
	return config.Load(config.LoadOptions{
		File: a.configFile, Env: a.envName, Vars: vars, Getenv: a.getenv,
		Flags: config.Flags{URL: a.url, DevURL: a.devURL, To: a.to},
	})
}

// logger writes to stderr; stdout is for what the user asked for.
func (a *app) logger() (*zap.Logger, error) {
	level, err := zapcore.ParseLevel(a.logLevel)
	if err != nil {
		return nil, fmt.Errorf("--log-level %q: use debug, info, warn or error", a.logLevel)
	}
	cfg := zap.NewProductionEncoderConfig()
	cfg.EncodeTime = zapcore.ISO8601TimeEncoder
	cfg.EncodeDuration = zapcore.StringDurationEncoder
	cfg.TimeKey = "time"
	var encoder zapcore.Encoder
	switch a.logFormat {
	case "json":
		encoder = zapcore.NewJSONEncoder(cfg)
	case "console":
		cfg.EncodeLevel = zapcore.CapitalLevelEncoder
		encoder = zapcore.NewConsoleEncoder(cfg)
	default:
		return nil, fmt.Errorf("--log-format %q: use console or json", a.logFormat)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(a.stderr)), level)), nil
}

// interactive reports whether somebody can answer a question.
func (a *app) interactive() bool { return isTerminal(a.stdin) && isTerminal(a.stdout) }

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no argument, but got %q; see: %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
	}
	return nil
}
