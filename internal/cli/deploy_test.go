package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v2"

	"github.com/pgtender/pgtender/internal/config"
)

const deployDir = "../../deploy"

func deployed(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(deployDir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// documents decodes a file of YAML documents.
func documents(t *testing.T, name string) []any {
	t.Helper()
	var out []any
	for _, text := range strings.Split(deployed(t, name), "\n---\n") {
		var v any
		if err := yaml.UnmarshalStrict([]byte(text), &v); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out = append(out, v)
	}
	return out
}

// at follows keys and indexes; nil where there is nothing.
func at(v any, path ...any) any {
	for _, key := range path {
		switch x := v.(type) {
		case map[any]any:
			v = x[key]
		case []any:
			i, ok := key.(int)
			if !ok || i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}

func listOf(v any) []string {
	var out []string
	each, _ := v.([]any)
	for _, x := range each {
		out = append(out, fmt.Sprint(x))
	}
	return out
}

// understood fails unless the program takes the arguments: the command is there, and so is each flag.
func understood(t *testing.T, where string, args []string) {
	t.Helper()
	if len(args) == 0 {
		t.Errorf("%s: there is no command", where)
		return
	}
	root := (&app{}).root()
	cmd, rest, err := root.Find(args)
	if err == nil && cmd == root {
		err = fmt.Errorf("no command in it")
	}
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	if err == nil {
		err = cmd.ValidateArgs(cmd.Flags().Args())
	}
	if err == nil && cmd.Flags().Lookup("listen") != nil {
		listen, _ := cmd.Flags().GetString("listen")
		if err = config.CheckListen(listen); listen == "" {
			err = nil
		}
	}
	if err != nil {
		t.Errorf("%s: pgtender %s: %v", where, strings.Join(args, " "), err)
	}
}

func TestContainerfileIsUnderstood(t *testing.T) {
	text := deployed(t, "Containerfile")
	line := func(instruction string) []string {
		m := regexp.MustCompile(`(?m)^` + instruction + `.*?(\[.*\])$`).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("no %s", instruction)
		}
		var args []string
		if err := json.Unmarshal([]byte(m[1]), &args); err != nil {
			t.Fatal(err)
		}
		return args
	}
	program := line("ENTRYPOINT")
	if len(program) != 1 || !strings.Contains(text, "/src/bin/pgtender "+program[0]+"\n") {
		t.Errorf("entry point %s is not what is copied", program)
	}
	understood(t, "CMD", line("CMD"))
	health := line("HEALTHCHECK")
	if health[0] != program[0] {
		t.Errorf("health check by %s", health[0])
	}
	understood(t, "HEALTHCHECK", health[1:])
	for _, want := range []string{"\nUSER 65532:65532\n", "\nEXPOSE 9818\n", "\nFROM scratch\n", `":9818"`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	needs := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(mod))[1]
	if !strings.Contains(text, "golang:"+needs+" ") {
		t.Errorf("it is not built with Go %s, which go.mod names", needs)
	}
}

func TestComposeIsUnderstood(t *testing.T) {
	c := documents(t, "compose/compose.yaml")[0]
	service := at(c, "services", "pgtender")
	understood(t, "command", listOf(at(service, "command")))
	for _, name := range []any{"pgtender", "database"} {
		s := at(c, "services", name)
		if at(s, "read_only") != true || !slices.Equal(listOf(at(s, "cap_drop")), []string{"ALL"}) || at(s, "healthcheck", "test") == nil {
			t.Errorf("service %s is not closed, or is not looked at", name)
		}
		for _, secret := range listOf(at(s, "secrets")) {
			if at(c, "secrets", secret, "file") == nil {
				t.Errorf("service %s: there is no secret %s", name, secret)
			}
		}
	}
	test := listOf(at(service, "healthcheck", "test"))
	understood(t, "health check", test[2:])
	if at(service, "environment", "PGPASSFILE") != "/run/secrets/pgpass" || !strings.HasSuffix(fmt.Sprint(at(c, "services", "database", "image")), ":18") {
		t.Errorf("service: %v", service)
	}
	for _, volume := range listOf(at(service, "volumes")) {
		source, _, _ := strings.Cut(volume, ":")
		if _, err := os.Stat(filepath.Join(deployDir, "compose", source)); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(deployDir, "compose", fmt.Sprint(at(service, "build", "context")), fmt.Sprint(at(service, "build", "dockerfile")))); err != nil {
		t.Error(err)
	}
}

func TestKubernetesIsUnderstood(t *testing.T) {
	shared := documents(t, "kubernetes/config.yaml")
	file := filepath.Join(t.TempDir(), "atlas.hcl")
	if err := os.WriteFile(file, []byte(at(shared[0], "data", "atlas.hcl").(string)), 0o644); err != nil {
		t.Fatal(err)
	}
	url, _ := at(shared[1], "stringData", "DATABASE_URL").(string)
	env, err := config.Load(config.LoadOptions{File: file, Getenv: func(name string) string { return map[string]string{"DATABASE_URL": url}[name] }})
	if err != nil {
		t.Fatal(err)
	}
	if env.URL != url || len(env.Partitions) != 1 || len(env.Refreshes) != 1 {
		t.Errorf("the declaration: %+v", env)
	}

	standalone := documents(t, "kubernetes/standalone.yaml")
	sidecar := documents(t, "kubernetes/sidecar.yaml")
	for where, pod := range map[string]any{"standalone": at(standalone[0], "spec", "template", "spec"), "sidecar": at(sidecar[0], "spec", "template", "spec")} {
		c := at(pod, "containers", 0)
		if where == "sidecar" {
			c = at(pod, "initContainers", 0)
			if at(c, "restartPolicy") != "Always" {
				t.Error("no sidecar: an init container that does not restart always is waited for")
			}
			if at(c, "readinessProbe") != nil {
				t.Error("the sidecar takes the application out of service")
			}
		}
		understood(t, where, listOf(at(c, "args")))
		if !slices.Contains(listOf(at(c, "args")), fmt.Sprintf(":%v", at(c, "ports", 0, "containerPort"))) {
			t.Errorf("%s: it listens elsewhere than on its port", where)
		}
		// Liveness depends on the process only.
		if at(c, "livenessProbe", "httpGet", "path") != "/livez" {
			t.Errorf("%s: liveness %v", where, at(c, "livenessProbe"))
		}
		for _, probe := range []string{"livenessProbe", "readinessProbe", "startupProbe"} {
			if p := at(c, probe); p != nil && (at(p, "httpGet", "port") != at(c, "ports", 0, "name") || !slices.Contains([]any{"/livez", "/readyz"}, at(p, "httpGet", "path"))) {
				t.Errorf("%s: %s %v", where, probe, p)
			}
		}
		security := at(c, "securityContext")
		if at(pod, "securityContext", "runAsNonRoot") != true || at(security, "readOnlyRootFilesystem") != true || at(security, "allowPrivilegeEscalation") != false ||
			at(security, "capabilities", "drop", 0) != "ALL" || at(pod, "securityContext", "seccompProfile", "type") != "RuntimeDefault" {
			t.Errorf("%s: not as the restricted profile wants it", where)
		}
		if at(c, "volumeMounts", 0, "mountPath") != "/etc/pgtender" || at(pod, "volumes", 0, "configMap", "name") != at(shared[0], "metadata", "name") ||
			at(c, "envFrom", 0, "secretRef", "name") != at(shared[1], "metadata", "name") {
			t.Errorf("%s: it does not get what config.yaml has", where)
		}
	}
	labels := at(standalone[0], "spec", "template", "metadata", "labels", "app.kubernetes.io/name")
	for i, selector := range []any{at(standalone[0], "spec", "selector", "matchLabels"), at(standalone[1], "spec", "selector", "matchLabels"), at(standalone[2], "spec", "selector")} {
		if at(selector, "app.kubernetes.io/name") != labels {
			t.Errorf("document %d selects %v", i, selector)
		}
	}
	if at(standalone[0], "spec", "replicas") != 2 || at(standalone[1], "spec", "minAvailable") != 1 {
		t.Error("not two replicas of which one may go")
	}
}

func TestServiceIsUnderstood(t *testing.T) {
	text := deployed(t, "systemd/pgtender.service")
	m := regexp.MustCompile(`(?m)^ExecStart=(\S+) (.*)$`).FindStringSubmatch(text)
	if m == nil || !strings.HasSuffix(m[1], "/pgtender") {
		t.Fatalf("ExecStart: %q", m)
	}
	understood(t, "ExecStart", strings.Fields(m[2]))
	for _, want := range []string{"DynamicUser=yes", "LoadCredential=pgpass:", "PGPASSFILE=%d/pgpass", "ProtectSystem=strict"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
}
