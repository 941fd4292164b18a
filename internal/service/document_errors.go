// SPDX-License-Identifier: Apache-2.0

package service

// CodeDocumentInvalid is the code of the fault that Parse and Findings.Err return; its fields say what is wrong where,
// with the codes below. Each code has its page in docs/errors.
const CodeDocumentInvalid = "service.document_invalid"

// Codes of single problems that callers tell apart.
const (
	// CodeConnectorUnavailable: the system's type is one that Syncline plans but this build does not have. It is the only
	// problem reported for that system.
	CodeConnectorUnavailable = "service.connector_unavailable"
	// CodeSecretUnknown: a ${NAME} that the tenant has no secret for.
	CodeSecretUnknown = "service.secret_unknown"
)

const (
	codeSyntax                 = "service.document_syntax"
	codeTooLarge               = "service.document_too_large"
	codeFieldUnknown           = "service.field_unknown"
	codeFieldMissing           = "service.field_missing"
	codeFieldDuplicate         = "service.field_duplicate"
	codeTypeWrong              = "service.type_wrong"
	codeValueUnknown           = "service.value_unknown"
	codeValueInvalid           = "service.value_invalid"
	codeIDDuplicate            = "service.id_duplicate"
	codeSystemUnknown          = "service.system_unknown"
	codePrimaryTwice           = "service.primary_twice"
	codeObjectsMissing         = "service.objects_missing"
	codeConnectorUnknown       = "service.connector_unknown"
	codeConnectorRetired       = "service.connector_retired"
	codeConnectionUnknown      = "service.connection_unknown"
	codeConnectionMismatch     = "service.connection_mismatch"
	codeSettingRetired         = "service.setting_retired"
	codeSecretMalformed        = "service.secret_malformed"
	codeSecretInClear          = "service.secret_in_clear"
	codeScheduleInvalid        = "service.schedule_invalid"
	codeTimeZoneUnknown        = "service.time_zone_unknown"
	codeDetectionUnavailable   = "service.detection_unavailable"
	codeExpressionInvalid      = "service.expression_invalid"
	codeRegexInvalid           = "service.regex_invalid"
	codeOperandWrong           = "service.operand_wrong"
	codeRuleIncomplete         = "service.rule_incomplete"
	codeStrategyIncomplete     = "service.strategy_incomplete"
	codeDirectionInconsistent  = "service.direction_inconsistent"
	codeMappingMixed           = "service.mapping_mixed"
	codeMappingAmbiguous       = "service.mapping_ambiguous"
	codeFieldSuspect           = "service.field_suspect"
	codeObjectAlone            = "service.object_alone"
	codeReferencesMissing      = "service.references_missing"
	codeReferenceTwice         = "service.reference_twice"
	codeReferenceCycle         = "service.reference_cycle"
	codeConsistencyUnavailable = "service.consistency_unavailable"
)
