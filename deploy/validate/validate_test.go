package validate

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Every document is one that Kubernetes' types take, with no field that they do not have.
func TestKubernetes(t *testing.T) {
	files, err := filepath.Glob("../kubernetes/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no file: %v", err)
	}
	for _, file := range files {
		text := read(t, strings.TrimPrefix(file, "../"))
		for i, document := range bytes.Split(text, []byte("\n---\n")) {
			var head struct {
				APIVersion string `json:"apiVersion"`
				Kind       string `json:"kind"`
			}
			if err := yaml.Unmarshal(document, &head); err != nil {
				t.Fatalf("%s, document %d: %v", file, i, err)
			}
			into, ok := map[string]any{"apps/v1 Deployment": &appsv1.Deployment{}, "v1 ConfigMap": &corev1.ConfigMap{}, "v1 Secret": &corev1.Secret{},
				"v1 Service": &corev1.Service{}, "v1 Pod": &corev1.Pod{}, "policy/v1 PodDisruptionBudget": &policyv1.PodDisruptionBudget{}}[head.APIVersion+" "+head.Kind]
			if !ok {
				t.Errorf("%s, document %d: %s %s is not looked at", file, i, head.APIVersion, head.Kind)
				continue
			}
			if err := yaml.UnmarshalStrict(document, into); err != nil {
				t.Errorf("%s, document %d, %s: %v", file, i, head.Kind, err)
			}
		}
	}
}

// Compose reads the file as it does for `docker compose config`.
func TestCompose(t *testing.T) {
	options, err := cli.NewProjectOptions([]string{"../compose/compose.yaml"}, cli.WithEnv([]string{}))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(project.Services) < 2 {
		t.Errorf("services: %v", project.ServiceNames())
	}
}

// BuildKit's parser takes the file, and its linter has nothing to say.
func TestContainerfile(t *testing.T) {
	result, err := parser.Parse(bytes.NewReader(read(t, "Containerfile")))
	if err != nil {
		t.Fatal(err)
	}
	lint := linter.New(&linter.Config{Warn: func(rule, description, url, message string, at []parser.Range) {
		t.Errorf("%s: %s %v", rule, message, at)
	}})
	stages, _, err := instructions.Parse(result.AST, lint)
	if err != nil || len(stages) != 2 || stages[1].BaseName != "scratch" {
		t.Errorf("%v, %d stages", err, len(stages))
	}
}
