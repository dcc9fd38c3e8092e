CREATE TABLE "warehouse"."llama_extract"."extraction_agents" (
"_content_hash" VARCHAR  ,
"config" JSON  ,
"created_at" TIMESTAMP WITH TIME ZONE  ,
"custom_configuration" VARCHAR  ,
"data_schema_hash" VARCHAR  ,
"id" VARCHAR  NOT NULL,
"name" VARCHAR  ,
"project_id" VARCHAR  ,
"updated_at" TIMESTAMP WITH TIME ZONE  )

CREATE TABLE "warehouse"."llama_extract"."extraction_runs" (
"_child_rows" BIGINT  ,
"_content_hash" VARCHAR  ,
"_deleted" BOOLEAN  ,
"_deleted_at" TIMESTAMP WITH TIME ZONE  ,
"_dlt_load_id" VARCHAR  ,
"agent_name" VARCHAR  ,
"created_at" TIMESTAMP WITH TIME ZONE  ,
"data_schema_hash" VARCHAR  ,
"error" VARCHAR  ,
"extraction_agent_id" VARCHAR  ,
"extraction_metadata__usage__num_document_tokens" BIGINT  ,
"extraction_metadata__usage__num_output_tokens" BIGINT  ,
"extraction_metadata__usage__num_pages_extracted" BIGINT  ,
"extraction_metadata__usage__num_reasoning_tokens" BIGINT  ,
"file_id" VARCHAR  ,
"file_name" VARCHAR  ,
"from_ui" BOOLEAN  ,
"id" VARCHAR  NOT NULL,
"job_id" VARCHAR  ,
"project_id" VARCHAR  ,
"status" VARCHAR  ,
"updated_at" TIMESTAMP WITH TIME ZONE  )

CREATE TABLE "warehouse"."llama_extract"."extraction_runs__config" (
"_deleted" BOOLEAN  ,
"_dlt_id" VARCHAR  ,
"_dlt_list_idx" BIGINT  ,
"_dlt_load_id" VARCHAR  ,
"_dlt_parent_id" VARCHAR  ,
"_run_id" VARCHAR  NOT NULL,
"chunk_mode" VARCHAR  ,
"citation_bbox" BOOLEAN  ,
"cite_sources" BOOLEAN  ,
"confidence_scores" BOOLEAN  ,
"extract_model" VARCHAR  ,
"extraction_mode" VARCHAR  ,
"extraction_target" VARCHAR  ,
"high_resolution_mode" BOOLEAN  ,
"invalidate_cache" BOOLEAN  ,
"multimodal_fast_mode" BOOLEAN  ,
"num_pages_context" BIGINT  ,
"page_range" VARCHAR  ,
"parse_model" VARCHAR  ,
"priority" VARCHAR  ,
"system_prompt" VARCHAR  ,
"use_reasoning" BOOLEAN  )

CREATE TABLE "warehouse"."llama_extract"."extraction_runs__data" (
"_deleted" BOOLEAN  ,
"_dlt_id" VARCHAR  ,
"_dlt_list_idx" BIGINT  ,
"_dlt_load_id" VARCHAR  ,
"_dlt_parent_id" VARCHAR  ,
"_run_id" VARCHAR  NOT NULL,
"account_number" VARCHAR  ,
"amends" VARCHAR  ,
"amount" DOUBLE  ,
"auto_renews" BOOLEAN  ,
"balance" DOUBLE  ,
"booked_on" DATE  ,
"born" VARCHAR  ,
"category" VARCHAR  ,
"cheque_number" VARCHAR  ,
"contract_id" VARCHAR  ,
"cost_center" VARCHAR  ,
"counterparty" VARCHAR  ,
"currency" VARCHAR  ,
"custom_terms__escrow_agent" VARCHAR  ,
"custom_terms__most_favoured" VARCHAR  ,
"custom_terms__penalty" VARCHAR  ,
"custom_terms__sla_hoursx" VARCHAR  ,
"custom_terms__uptimexx" VARCHAR  ,
"delivery_address__city" VARCHAR  ,
"delivery_address__country" VARCHAR  ,
"delivery_address__postal_code" VARCHAR  ,
"delivery_address__region" VARCHAR  ,
"delivery_address__street" VARCHAR  ,
"discount" DOUBLE  ,
"due_date" DATE  ,
"effective_date" DATE  ,
"email" VARCHAR  ,
"form_number" VARCHAR  ,
"governing_law" VARCHAR  ,
"handwritten" BOOLEAN  ,
"headline" VARCHAR  ,
"invoice_date" DATE  ,
"invoice_number" VARCHAR  ,
"language" VARCHAR  ,
"late_fee" DOUBLE  ,
"liability_cap" DOUBLE  ,
"liability_cap__v_text" VARCHAR  ,
"name" VARCHAR  ,
"notes" VARCHAR  ,
"page" BIGINT  ,
"paid" BOOLEAN  ,
"payment_terms" VARCHAR  ,
"phone" VARCHAR  ,
"police_report" VARCHAR  ,
"reasoning" VARCHAR  ,
"received_at" TIMESTAMP WITH TIME ZONE  ,
"reference" BIGINT  ,
"reference__v_text" VARCHAR  ,
"renewal_notice" VARCHAR  ,
"renewal_term" BIGINT  ,
"renewal_term__v_text" VARCHAR  ,
"section" VARCHAR  ,
"service_period" VARCHAR  ,
"signed_at" TIMESTAMP WITH TIME ZONE  ,
"signed_on" VARCHAR  ,
"subtotal" DOUBLE  ,
"summary" VARCHAR  ,
"text" VARCHAR  ,
"title" VARCHAR  ,
"total" DOUBLE  ,
"total__v_text" VARCHAR  ,
"value_date" VARCHAR  ,
"vendor__address__city" VARCHAR  ,
"vendor__address__country" VARCHAR  ,
"vendor__address__postal_code" VARCHAR  ,
"vendor__address__region" VARCHAR  ,
"vendor__address__street" VARCHAR  ,
"vendor__fax" VARCHAR  ,
"vendor__name" VARCHAR  ,
"vendor__tax_id" VARCHAR  ,
"witness" VARCHAR  ,
"years_of_experience" DOUBLE  )

CREATE TABLE "warehouse"."llama_extract"."extraction_runs__data__availability" (
"_deleted" BOOLEAN  ,
"_dlt_id" VARCHAR  ,
"_dlt_list_idx" BIGINT  ,
"_dlt_load_id" VARCHAR  ,
"_dlt_parent_id" VARCHAR  ,
"_run_id" VARCHAR  NOT NULL)

CREATE TABLE "warehouse"."llama_extract"."extraction_runs__data__availability__list" (
"_deleted" BOOLEAN  ,
"_dlt_id" VARCHAR  ,
"_dlt_list_idx" BIGINT  ,
"_dlt_load_id" VARCHAR  ,
"_dlt_parent_id" VARCHAR  ,
"_run_id" VARCHAR  NOT NULL,
"value" VARCHAR  )

CREATE TABLE "warehouse"."llama_extract"."extraction_runs__data__checkboxes" (
"_deleted" BOOLEAN  ,
"_dlt_id" VARCHAR  ,
"_dlt_list_idx" BIGINT  ,
"_dlt_load_id" VARCHAR  ,
"_dlt_parent_id" VARCHAR  ,
"_run_id" VARCHAR  NOT NULL,
"value" BOOLEAN  )

CREATE TABLE "warehouse"."llama_extract"."extraction_runs__data__clauses" (
"_deleted" BOOLEAN  ,
"_dlt_id" VARCHAR  ,
"_dlt_list_idx" BIGINT  ,
"_dlt_load_id" VARCHAR  ,
"_dlt_parent_id" VARCHAR  ,
"_run_id" VARCHAR  NOT NULL,
"heading" VARCHAR  ,
"is_standard" BOOLEAN  ,
"number" VARCHAR  ,
"text" VARCHAR  )

CREATE TABLE "warehouse"."llama_extract"."extraction_runs__data__clauses__sub_clauses" (
"_deleted" BOOLEAN  ,
"_dlt_id" VARCHAR  ,
"_dlt_list_idx" BIGINT  ,
"_dlt_load_id" VARCHAR  ,
"_dlt_parent_id" VARCHAR  ,
"_run_id" VARCHAR  NOT NULL,
"is_standard" BOOLEAN  ,
"number" VARCHAR  ,
"text" VARCHAR  )

CREATE TABLE "warehouse"."llama_extract"."extraction_runs__data__clauses__sub_clauses__sub_clauses" (
"_deleted" BOOLEAN  ,
"_dlt_id" VARCHAR  ,
"_dlt_list_idx" BIGINT  ,
"_dlt_load_id" VARCHAR  ,
"_dlt_parent_id" VARCHAR  ,
"_run_id" VARCHAR  NOT NULL,
"is_standard" BOOLEAN  ,
"number" VARCHAR  ,
"text" VARCHAR  )

CREATE TABLE "warehouse"."llama_extract"."extraction_runs__data__education" (
"_deleted" BOOLEAN  ,
"_dlt_id" VARCHAR  ,
"_dlt_list_idx" BIGINT  ,
"_dlt_load_id" VARCHAR  ,
"_dlt_parent_id" VARCHAR  ,
"_run_id" VARCHAR  NOT NULL,
"degree" VARCHAR  ,
"grade" VARCHAR  ,
"school" VARCHAR  ,
"year" BIGINT  )

CREATE TABLE "warehouse"."llama_extract"."extraction_runs__data__entries" (
"_deleted" BOOLEAN  ,
"_dlt_id" VARCHAR  ,
"_dlt_list_idx" BIGINT  ,
"_dlt_load_id" VARCHAR  ,
"_dlt_parent_id" VARCHAR  ,
"_run_id" VARCHAR  NOT NULL,
"crossed_out" BOOLEAN  ,
"label" VARCHAR  ,
"value" VARCHAR  )

CREATE TABLE "warehouse"."llama_extract"."extraction_runs__data__jobs" (
"_deleted" BOOLEAN  ,
"_dlt_id" VARCHAR  ,
"_dlt_list_idx" BIGINT  ,
"_dlt_load_id" VARCHAR  ,
"_dlt_parent_id" VARCHAR  ,
"_run_id" VARCHAR  NOT NULL,
"current" BOOLEAN  ,
"employer" VARCHAR  ,
"end" VARCHAR  ,
"start" VARCHAR  ,
"title" VARCHAR  )

CREATE TABLE "warehouse"."llama_extract"."extraction_runs__data__jobs__bullets" (
"_deleted" BOOLEAN  ,
"_dlt_id" VARCHAR  ,
"_dlt_list_idx" BIGINT  ,
"_dlt_load_id" VARCHAR  ,
"_dlt_parent_id" VARCHAR  ,
"_run_id" VARCHAR  NOT NULL,
"text" VARCHAR  )

CREATE TABLE "warehouse"."llama_extract"."extraction_runs__data__jobs__bullets__tools" (
"_deleted" BOOLEAN  ,
"_dlt_id" VARCHAR  ,
"_dlt_list_idx" BIGINT  ,
"_dlt_load_id" VARCHAR  ,
"_dlt_parent_id" VARCHAR  ,
"_run_id" VARCHAR  NOT NULL,
"value" VARCHAR  )

CREATE TABLE "warehouse"."llama_extract"."extraction_runs__data__line_items" (
"_deleted" BOOLEAN  ,
"_dlt_id" VARCHAR  ,
"_dlt_list_idx" BIGINT  ,
"_dlt_load_id" VARCHAR  ,
"_dlt_parent_id" VARCHAR  ,
"_run_id" VARCHAR  NOT NULL,
"amount" DOUBLE  ,
"description" VARCHAR  ,
"quantity" DOUBLE  ,
"serial_number" VARCHAR  ,
"sku" VARCHAR  ,
"unit_price" DOUBLE  )

CREATE TABLE "warehouse"."llama_extract"."extraction_runs__data__line_items__taxes" (
"_deleted" BOOLEAN  ,
"_dlt_id" VARCHAR  ,
"_dlt_list_idx" BIGINT  ,
"_dlt_load_id" VARCHAR  ,
"_dlt_parent_id" VARCHAR  ,
"_run_id" VARCHAR  NOT NULL,
"amount" DOUBLE  ,
"name" VARCHAR  ,
"rate" DOUBLE  )

CREATE TABLE "warehouse"."llama_extract"."extraction_runs__data__parties" (
"_deleted" BOOLEAN  ,
"_dlt_id" VARCHAR  ,
"_dlt_list_idx" BIGINT  ,
"_dlt_load_id" VARCHAR  ,
"_dlt_parent_id" VARCHAR  ,
"_run_id" VARCHAR  NOT NULL,
"name" VARCHAR  ,
"registration_number" VARCHAR  ,
"role" VARCHAR  ,
"signed" BOOLEAN  )

CREATE TABLE "warehouse"."llama_extract"."extraction_runs__data__parties__signatories" (
"_deleted" BOOLEAN  ,
"_dlt_id" VARCHAR  ,
"_dlt_list_idx" BIGINT  ,
"_dlt_load_id" VARCHAR  ,
"_dlt_parent_id" VARCHAR  ,
"_run_id" VARCHAR  NOT NULL,
"value" VARCHAR  )

CREATE TABLE "warehouse"."llama_extract"."extraction_runs__data__publications" (
"_deleted" BOOLEAN  ,
"_dlt_id" VARCHAR  ,
"_dlt_list_idx" BIGINT  ,
"_dlt_load_id" VARCHAR  ,
"_dlt_parent_id" VARCHAR  ,
"_run_id" VARCHAR  NOT NULL,
"value" VARCHAR  )

CREATE TABLE "warehouse"."llama_extract"."extraction_runs__data__scores" (
"_deleted" BOOLEAN  ,
"_dlt_id" VARCHAR  ,
"_dlt_list_idx" BIGINT  ,
"_dlt_load_id" VARCHAR  ,
"_dlt_parent_id" VARCHAR  ,
"_run_id" VARCHAR  NOT NULL)

CREATE TABLE "warehouse"."llama_extract"."extraction_runs__data__scores__list" (
"_deleted" BOOLEAN  ,
"_dlt_id" VARCHAR  ,
"_dlt_list_idx" BIGINT  ,
"_dlt_load_id" VARCHAR  ,
"_dlt_parent_id" VARCHAR  ,
"_run_id" VARCHAR  NOT NULL,
"value" DOUBLE  )

CREATE TABLE "warehouse"."llama_extract"."extraction_runs__data__skills" (
"_deleted" BOOLEAN  ,
"_dlt_id" VARCHAR  ,
"_dlt_list_idx" BIGINT  ,
"_dlt_load_id" VARCHAR  ,
"_dlt_parent_id" VARCHAR  ,
"_run_id" VARCHAR  NOT NULL,
"value" VARCHAR  )

CREATE TABLE "warehouse"."llama_extract"."extraction_runs__field_metadata" (
"_deleted" BOOLEAN  ,
"_dlt_id" VARCHAR  ,
"_dlt_list_idx" BIGINT  ,
"_dlt_load_id" VARCHAR  ,
"_dlt_parent_id" VARCHAR  ,
"_run_id" VARCHAR  NOT NULL,
"confidence" DOUBLE  ,
"data_column" VARCHAR  ,
"data_row_id" VARCHAR  ,
"data_table" VARCHAR  ,
"data_value" VARCHAR  ,
"error" VARCHAR  ,
"extraction_confidence" DOUBLE  ,
"field_name" VARCHAR  ,
"field_path" VARCHAR  ,
"parsing_confidence" DOUBLE  ,
"reasoning" VARCHAR  )

CREATE TABLE "warehouse"."llama_extract"."extraction_runs__field_metadata__citation" (
"_deleted" BOOLEAN  ,
"_dlt_id" VARCHAR  ,
"_dlt_list_idx" BIGINT  ,
"_dlt_load_id" VARCHAR  ,
"_dlt_parent_id" VARCHAR  ,
"_run_id" VARCHAR  NOT NULL,
"matching_text" VARCHAR  ,
"page" BIGINT  ,
"page_dimensions__height" DOUBLE  ,
"page_dimensions__width" DOUBLE  )

CREATE TABLE "warehouse"."llama_extract"."extraction_runs__field_metadata__citation__bounding_boxes" (
"_deleted" BOOLEAN  ,
"_dlt_id" VARCHAR  ,
"_dlt_list_idx" BIGINT  ,
"_dlt_load_id" VARCHAR  ,
"_dlt_parent_id" VARCHAR  ,
"_run_id" VARCHAR  NOT NULL,
"h" DOUBLE  ,
"w" DOUBLE  ,
"x" DOUBLE  ,
"y" DOUBLE  )

CREATE TABLE "warehouse"."llama_extract"."extraction_runs__file" (
"_deleted" BOOLEAN  ,
"_dlt_id" VARCHAR  ,
"_dlt_list_idx" BIGINT  ,
"_dlt_load_id" VARCHAR  ,
"_dlt_parent_id" VARCHAR  ,
"_run_id" VARCHAR  NOT NULL,
"created_at" TIMESTAMP WITH TIME ZONE  ,
"data_source_id" VARCHAR  ,
"expires_at" TIMESTAMP WITH TIME ZONE  ,
"external_file_id" VARCHAR  ,
"file_size" BIGINT  ,
"file_type" VARCHAR  ,
"id" VARCHAR  ,
"last_modified_at" TIMESTAMP WITH TIME ZONE  ,
"name" VARCHAR  ,
"permission_info" JSON  ,
"project_id" VARCHAR  ,
"purpose" VARCHAR  ,
"resource_info" JSON  ,
"updated_at" TIMESTAMP WITH TIME ZONE  )

CREATE TABLE "warehouse"."llama_extract"."extraction_runs__rejected" (
"_dlt_id" VARCHAR  NOT NULL,
"extraction_agent_id" VARCHAR  ,
"position" VARCHAR  ,
"raw" VARCHAR  ,
"reason" VARCHAR  )

CREATE TABLE "warehouse"."llama_extract"."extraction_schemas" (
"data_schema" JSON  ,
"hash" VARCHAR  NOT NULL)

DELETE FROM "warehouse"."llama_extract"."extraction_runs__file" as d WHERE EXISTS (SELECT 1 FROM "warehouse"."llama_extract_staging"."extraction_runs__file" as s WHERE d."_run_id" = s."_run_id")
INSERT INTO "warehouse"."llama_extract"."extraction_runs__file"("_run_id", "_dlt_id", "_dlt_parent_id", "_dlt_list_idx", "_dlt_load_id", "_deleted", "id", "name", "project_id", "data_source_id", "external_file_id", "file_type", "purpose", "created_at", "updated_at", "expires_at", "last_modified_at", "file_size", "permission_info", "resource_info") SELECT "_run_id", "_dlt_id", "_dlt_parent_id", "_dlt_list_idx", "_dlt_load_id", "_deleted", "id", "name", "project_id", "data_source_id", "external_file_id", "file_type", "purpose", "created_at", "updated_at", "expires_at", "last_modified_at", "file_size", "permission_info", "resource_info" FROM "warehouse"."llama_extract_staging"."extraction_runs__file" WHERE ("_deleted" IS NULL OR "_deleted" = False)

DELETE FROM "warehouse"."llama_extract"."extraction_runs" as d WHERE EXISTS (SELECT 1 FROM "warehouse"."llama_extract_staging"."extraction_runs" as s WHERE d."id" = s."id")
INSERT INTO "warehouse"."llama_extract"."extraction_runs"("id", "agent_name", "file_name", "status", "extraction_agent_id", "project_id", "job_id", "file_id", "error", "created_at", "updated_at", "from_ui", "extraction_metadata__usage__num_pages_extracted", "extraction_metadata__usage__num_document_tokens", "extraction_metadata__usage__num_output_tokens", "data_schema_hash", "_content_hash", "_child_rows", "_dlt_load_id", "_deleted_at", "_deleted", "extraction_metadata__usage__num_reasoning_tokens")                  SELECT "id", "agent_name", "file_name", "status", "extraction_agent_id", "project_id", "job_id", "file_id", "error", "created_at", "updated_at", "from_ui", "extraction_metadata__usage__num_pages_extracted", "extraction_metadata__usage__num_document_tokens", "extraction_metadata__usage__num_output_tokens", "data_schema_hash", "_content_hash", "_child_rows", "_dlt_load_id", "_deleted_at", "_deleted", "extraction_metadata__usage__num_reasoning_tokens"                     FROM (                         SELECT ROW_NUMBER() OVER (partition BY "id" ORDER BY (SELECT NULL)) AS _dlt_dedup_rn, "id", "agent_name", "file_name", "status", "extraction_agent_id", "project_id", "job_id", "file_id", "error", "created_at", "updated_at", "from_ui", "extraction_metadata__usage__num_pages_extracted", "extraction_metadata__usage__num_document_tokens", "extraction_metadata__usage__num_output_tokens", "data_schema_hash", "_content_hash", "_child_rows", "_dlt_load_id", "_deleted_at", "_deleted", "extraction_metadata__usage__num_reasoning_tokens"                         FROM "warehouse"."llama_extract_staging"."extraction_runs"                     ) AS _dlt_dedup_numbered WHERE _dlt_dedup_rn = 1 AND (1 = 1)
