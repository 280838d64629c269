-- name: AddPatient :exec
INSERT INTO patients (id, tenant, ssn, notes, ssn_index) VALUES ($1, $2, $3, $4, $5);

-- name: GetPatient :one
SELECT * FROM patients WHERE id = $1;

-- name: PatientsBySSN :many
SELECT * FROM patients WHERE tenant = $1 AND ssn_index = ANY (sqlc.arg(terms)::bytea[]);
