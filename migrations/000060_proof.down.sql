DROP TABLE proof_differences;
DROP TABLE proofs;
