// Package apply runs a plan against a database, alone, and proves the result.
//
// One session does everything: it holds the advisory lock "apply", so two runners never interleave, and when it
// dies nothing more of the plan can run. It reads the database again and refuses a plan made for another state. It runs
// each transaction of the plan with a short lock_timeout and tries again, so that nobody queues behind it for
// long; what cannot run in a transaction runs by itself and may wait longer. Each statement is written into the journal
// (pgtender.applied_plan, applied_statement) in the transaction that runs it. At the end the database is read once more:
// any difference that is left is an error that names it.
//
// A plan that ends half-way leaves no state to be repaired: the next one is made from what is there, and whatever the
// last one did is not in it any more.
package apply
