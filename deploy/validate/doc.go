// Package validate holds what lies in deploy/ against the types of the systems that read it: Kubernetes' own, Compose's and BuildKit's. It
// is a module of its own, so that pgtender does not depend on them. `make deploy-check` runs it.
package validate
