CREATE TABLE "llama_extract"."extraction_agents" (
"_content_hash" varchar(max)  ,
"config" varchar(max)  ,
"created_at" timestamp with time zone  ,
"custom_configuration" varchar(max)  ,
"data_schema_hash" varchar(max)  ,
"id" varchar(max)  NOT NULL,
"name" varchar(max)  ,
"project_id" varchar(max)  ,
"updated_at" timestamp with time zone  )

CREATE TABLE "llama_extract"."extraction_runs" (
"_child_rows" bigint  ,
"_content_hash" varchar(max)  ,
"_deleted" boolean  ,
"_deleted_at" timestamp with time zone  ,
"_dlt_load_id" varchar(max)  ,
"agent_name" varchar(max)  ,
"created_at" timestamp with time zone  ,
"data_schema_hash" varchar(max)  ,
"error" varchar(max)  ,
"extraction_agent_id" varchar(max)  ,
"extraction_metadata__usage__num_document_tokens" bigint  ,
"extraction_metadata__usage__num_output_tokens" bigint  ,
"extraction_metadata__usage__num_pages_extracted" bigint  ,
"extraction_metadata__usage__num_reasoning_tokens" bigint  ,
"file_id" varchar(max)  ,
"file_name" varchar(max)  ,
"from_ui" boolean  ,
"id" varchar(max)  NOT NULL,
"job_id" varchar(max)  ,
"project_id" varchar(max)  ,
"status" varchar(max)  ,
"updated_at" timestamp with time zone  )

CREATE TABLE "llama_extract"."extraction_runs__config" (
"_deleted" boolean  ,
"_dlt_id" varchar(max)  ,
"_dlt_list_idx" bigint  ,
"_dlt_load_id" varchar(max)  ,
"_dlt_parent_id" varchar(max)  ,
"_run_id" varchar(max)  NOT NULL,
"chunk_mode" varchar(max)  ,
"citation_bbox" boolean  ,
"cite_sources" boolean  ,
"confidence_scores" boolean  ,
"extract_model" varchar(max)  ,
"extraction_mode" varchar(max)  ,
"extraction_target" varchar(max)  ,
"high_resolution_mode" boolean  ,
"invalidate_cache" boolean  ,
"multimodal_fast_mode" boolean  ,
"num_pages_context" bigint  ,
"page_range" varchar(max)  ,
"parse_model" varchar(max)  ,
"priority" varchar(max)  ,
"system_prompt" varchar(max)  ,
"use_reasoning" boolean  )

CREATE TABLE "llama_extract"."extraction_runs__data" (
"_deleted" boolean  ,
"_dlt_id" varchar(max)  ,
"_dlt_list_idx" bigint  ,
"_dlt_load_id" varchar(max)  ,
"_dlt_parent_id" varchar(max)  ,
"_run_id" varchar(max)  NOT NULL,
"account_number" varchar(max)  ,
"amends" varchar(max)  ,
"amount" double precision  ,
"auto_renews" boolean  ,
"balance" double precision  ,
"booked_on" date  ,
"born" varchar(max)  ,
"category" varchar(max)  ,
"cheque_number" varchar(max)  ,
"contract_id" varchar(max)  ,
"cost_center" varchar(max)  ,
"counterparty" varchar(max)  ,
"currency" varchar(max)  ,
"custom_terms__escrow_agent" varchar(max)  ,
"custom_terms__most_favoured" varchar(max)  ,
"custom_terms__penalty" varchar(max)  ,
"custom_terms__sla_hoursx" varchar(max)  ,
"custom_terms__uptimexx" varchar(max)  ,
"delivery_address__city" varchar(max)  ,
"delivery_address__country" varchar(max)  ,
"delivery_address__postal_code" varchar(max)  ,
"delivery_address__region" varchar(max)  ,
"delivery_address__street" varchar(max)  ,
"discount" double precision  ,
"due_date" date  ,
"effective_date" date  ,
"email" varchar(max)  ,
"form_number" varchar(max)  ,
"governing_law" varchar(max)  ,
"handwritten" boolean  ,
"headline" varchar(max)  ,
"invoice_date" date  ,
"invoice_number" varchar(max)  ,
"language" varchar(max)  ,
"late_fee" double precision  ,
"liability_cap" double precision  ,
"liability_cap__v_text" varchar(max)  ,
"name" varchar(max)  ,
"notes" varchar(max)  ,
"page" bigint  ,
"paid" boolean  ,
"payment_terms" varchar(max)  ,
"phone" varchar(max)  ,
"police_report" varchar(max)  ,
"reasoning" varchar(max)  ,
"received_at" timestamp with time zone  ,
"reference" bigint  ,
"reference__v_text" varchar(max)  ,
"renewal_notice" varchar(max)  ,
"renewal_term" bigint  ,
"renewal_term__v_text" varchar(max)  ,
"section" varchar(max)  ,
"service_period" varchar(max)  ,
"signed_at" timestamp with time zone  ,
"signed_on" varchar(max)  ,
"subtotal" double precision  ,
"summary" varchar(max)  ,
"text" varchar(max)  ,
"title" varchar(max)  ,
"total" double precision  ,
"total__v_text" varchar(max)  ,
"value_date" varchar(max)  ,
"vendor__address__city" varchar(max)  ,
"vendor__address__country" varchar(max)  ,
"vendor__address__postal_code" varchar(max)  ,
"vendor__address__region" varchar(max)  ,
"vendor__address__street" varchar(max)  ,
"vendor__fax" varchar(max)  ,
"vendor__name" varchar(max)  ,
"vendor__tax_id" varchar(max)  ,
"witness" varchar(max)  ,
"years_of_experience" double precision  )

CREATE TABLE "llama_extract"."extraction_runs__data__availability" (
"_deleted" boolean  ,
"_dlt_id" varchar(max)  ,
"_dlt_list_idx" bigint  ,
"_dlt_load_id" varchar(max)  ,
"_dlt_parent_id" varchar(max)  ,
"_run_id" varchar(max)  NOT NULL)

CREATE TABLE "llama_extract"."extraction_runs__data__availability__list" (
"_deleted" boolean  ,
"_dlt_id" varchar(max)  ,
"_dlt_list_idx" bigint  ,
"_dlt_load_id" varchar(max)  ,
"_dlt_parent_id" varchar(max)  ,
"_run_id" varchar(max)  NOT NULL,
"value" varchar(max)  )

CREATE TABLE "llama_extract"."extraction_runs__data__checkboxes" (
"_deleted" boolean  ,
"_dlt_id" varchar(max)  ,
"_dlt_list_idx" bigint  ,
"_dlt_load_id" varchar(max)  ,
"_dlt_parent_id" varchar(max)  ,
"_run_id" varchar(max)  NOT NULL,
"value" boolean  )

CREATE TABLE "llama_extract"."extraction_runs__data__clauses" (
"_deleted" boolean  ,
"_dlt_id" varchar(max)  ,
"_dlt_list_idx" bigint  ,
"_dlt_load_id" varchar(max)  ,
"_dlt_parent_id" varchar(max)  ,
"_run_id" varchar(max)  NOT NULL,
"heading" varchar(max)  ,
"is_standard" boolean  ,
"number" varchar(max)  ,
"text" varchar(max)  )

CREATE TABLE "llama_extract"."extraction_runs__data__clauses__sub_clauses" (
"_deleted" boolean  ,
"_dlt_id" varchar(max)  ,
"_dlt_list_idx" bigint  ,
"_dlt_load_id" varchar(max)  ,
"_dlt_parent_id" varchar(max)  ,
"_run_id" varchar(max)  NOT NULL,
"is_standard" boolean  ,
"number" varchar(max)  ,
"text" varchar(max)  )

CREATE TABLE "llama_extract"."extraction_runs__data__clauses__sub_clauses__sub_clauses" (
"_deleted" boolean  ,
"_dlt_id" varchar(max)  ,
"_dlt_list_idx" bigint  ,
"_dlt_load_id" varchar(max)  ,
"_dlt_parent_id" varchar(max)  ,
"_run_id" varchar(max)  NOT NULL,
"is_standard" boolean  ,
"number" varchar(max)  ,
"text" varchar(max)  )

CREATE TABLE "llama_extract"."extraction_runs__data__education" (
"_deleted" boolean  ,
"_dlt_id" varchar(max)  ,
"_dlt_list_idx" bigint  ,
"_dlt_load_id" varchar(max)  ,
"_dlt_parent_id" varchar(max)  ,
"_run_id" varchar(max)  NOT NULL,
"degree" varchar(max)  ,
"grade" varchar(max)  ,
"school" varchar(max)  ,
"year" bigint  )

CREATE TABLE "llama_extract"."extraction_runs__data__entries" (
"_deleted" boolean  ,
"_dlt_id" varchar(max)  ,
"_dlt_list_idx" bigint  ,
"_dlt_load_id" varchar(max)  ,
"_dlt_parent_id" varchar(max)  ,
"_run_id" varchar(max)  NOT NULL,
"crossed_out" boolean  ,
"label" varchar(max)  ,
"value" varchar(max)  )

CREATE TABLE "llama_extract"."extraction_runs__data__jobs" (
"_deleted" boolean  ,
"_dlt_id" varchar(max)  ,
"_dlt_list_idx" bigint  ,
"_dlt_load_id" varchar(max)  ,
"_dlt_parent_id" varchar(max)  ,
"_run_id" varchar(max)  NOT NULL,
"current" boolean  ,
"employer" varchar(max)  ,
"end" varchar(max)  ,
"start" varchar(max)  ,
"title" varchar(max)  )

CREATE TABLE "llama_extract"."extraction_runs__data__jobs__bullets" (
"_deleted" boolean  ,
"_dlt_id" varchar(max)  ,
"_dlt_list_idx" bigint  ,
"_dlt_load_id" varchar(max)  ,
"_dlt_parent_id" varchar(max)  ,
"_run_id" varchar(max)  NOT NULL,
"text" varchar(max)  )

CREATE TABLE "llama_extract"."extraction_runs__data__jobs__bullets__tools" (
"_deleted" boolean  ,
"_dlt_id" varchar(max)  ,
"_dlt_list_idx" bigint  ,
"_dlt_load_id" varchar(max)  ,
"_dlt_parent_id" varchar(max)  ,
"_run_id" varchar(max)  NOT NULL,
"value" varchar(max)  )

CREATE TABLE "llama_extract"."extraction_runs__data__line_items" (
"_deleted" boolean  ,
"_dlt_id" varchar(max)  ,
"_dlt_list_idx" bigint  ,
"_dlt_load_id" varchar(max)  ,
"_dlt_parent_id" varchar(max)  ,
"_run_id" varchar(max)  NOT NULL,
"amount" double precision  ,
"description" varchar(max)  ,
"quantity" double precision  ,
"serial_number" varchar(max)  ,
"sku" varchar(max)  ,
"unit_price" double precision  )

CREATE TABLE "llama_extract"."extraction_runs__data__line_items__taxes" (
"_deleted" boolean  ,
"_dlt_id" varchar(max)  ,
"_dlt_list_idx" bigint  ,
"_dlt_load_id" varchar(max)  ,
"_dlt_parent_id" varchar(max)  ,
"_run_id" varchar(max)  NOT NULL,
"amount" double precision  ,
"name" varchar(max)  ,
"rate" double precision  )

CREATE TABLE "llama_extract"."extraction_runs__data__parties" (
"_deleted" boolean  ,
"_dlt_id" varchar(max)  ,
"_dlt_list_idx" bigint  ,
"_dlt_load_id" varchar(max)  ,
"_dlt_parent_id" varchar(max)  ,
"_run_id" varchar(max)  NOT NULL,
"name" varchar(max)  ,
"registration_number" varchar(max)  ,
"role" varchar(max)  ,
"signed" boolean  )

CREATE TABLE "llama_extract"."extraction_runs__data__parties__signatories" (
"_deleted" boolean  ,
"_dlt_id" varchar(max)  ,
"_dlt_list_idx" bigint  ,
"_dlt_load_id" varchar(max)  ,
"_dlt_parent_id" varchar(max)  ,
"_run_id" varchar(max)  NOT NULL,
"value" varchar(max)  )

CREATE TABLE "llama_extract"."extraction_runs__data__publications" (
"_deleted" boolean  ,
"_dlt_id" varchar(max)  ,
"_dlt_list_idx" bigint  ,
"_dlt_load_id" varchar(max)  ,
"_dlt_parent_id" varchar(max)  ,
"_run_id" varchar(max)  NOT NULL,
"value" varchar(max)  )

CREATE TABLE "llama_extract"."extraction_runs__data__scores" (
"_deleted" boolean  ,
"_dlt_id" varchar(max)  ,
"_dlt_list_idx" bigint  ,
"_dlt_load_id" varchar(max)  ,
"_dlt_parent_id" varchar(max)  ,
"_run_id" varchar(max)  NOT NULL)

CREATE TABLE "llama_extract"."extraction_runs__data__scores__list" (
"_deleted" boolean  ,
"_dlt_id" varchar(max)  ,
"_dlt_list_idx" bigint  ,
"_dlt_load_id" varchar(max)  ,
"_dlt_parent_id" varchar(max)  ,
"_run_id" varchar(max)  NOT NULL,
"value" double precision  )

CREATE TABLE "llama_extract"."extraction_runs__data__skills" (
"_deleted" boolean  ,
"_dlt_id" varchar(max)  ,
"_dlt_list_idx" bigint  ,
"_dlt_load_id" varchar(max)  ,
"_dlt_parent_id" varchar(max)  ,
"_run_id" varchar(max)  NOT NULL,
"value" varchar(max)  )

CREATE TABLE "llama_extract"."extraction_runs__field_metadata" (
"_deleted" boolean  ,
"_dlt_id" varchar(max)  ,
"_dlt_list_idx" bigint  ,
"_dlt_load_id" varchar(max)  ,
"_dlt_parent_id" varchar(max)  ,
"_run_id" varchar(max)  NOT NULL,
"confidence" double precision  ,
"data_column" varchar(max)  ,
"data_row_id" varchar(max)  ,
"data_table" varchar(max)  ,
"data_value" varchar(max)  ,
"error" varchar(max)  ,
"extraction_confidence" double precision  ,
"field_name" varchar(max)  ,
"field_path" varchar(max)  ,
"parsing_confidence" double precision  ,
"reasoning" varchar(max)  )

CREATE TABLE "llama_extract"."extraction_runs__field_metadata__citation" (
"_deleted" boolean  ,
"_dlt_id" varchar(max)  ,
"_dlt_list_idx" bigint  ,
"_dlt_load_id" varchar(max)  ,
"_dlt_parent_id" varchar(max)  ,
"_run_id" varchar(max)  NOT NULL,
"matching_text" varchar(max)  ,
"page" bigint  ,
"page_dimensions__height" double precision  ,
"page_dimensions__width" double precision  )

CREATE TABLE "llama_extract"."extraction_runs__field_metadata__citation__bounding_boxes" (
"_deleted" boolean  ,
"_dlt_id" varchar(max)  ,
"_dlt_list_idx" bigint  ,
"_dlt_load_id" varchar(max)  ,
"_dlt_parent_id" varchar(max)  ,
"_run_id" varchar(max)  NOT NULL,
"h" double precision  ,
"w" double precision  ,
"x" double precision  ,
"y" double precision  )

CREATE TABLE "llama_extract"."extraction_runs__file" (
"_deleted" boolean  ,
"_dlt_id" varchar(max)  ,
"_dlt_list_idx" bigint  ,
"_dlt_load_id" varchar(max)  ,
"_dlt_parent_id" varchar(max)  ,
"_run_id" varchar(max)  NOT NULL,
"created_at" timestamp with time zone  ,
"data_source_id" varchar(max)  ,
"expires_at" timestamp with time zone  ,
"external_file_id" varchar(max)  ,
"file_size" bigint  ,
"file_type" varchar(max)  ,
"id" varchar(max)  ,
"last_modified_at" timestamp with time zone  ,
"name" varchar(max)  ,
"permission_info" varchar(max)  ,
"project_id" varchar(max)  ,
"purpose" varchar(max)  ,
"resource_info" varchar(max)  ,
"updated_at" timestamp with time zone  )

CREATE TABLE "llama_extract"."extraction_runs__rejected" (
"_dlt_id" varchar(max)  NOT NULL,
"extraction_agent_id" varchar(max)  ,
"position" varchar(max)  ,
"raw" varchar(max)  ,
"reason" varchar(max)  )

CREATE TABLE "llama_extract"."extraction_schemas" (
"data_schema" varchar(max)  ,
"hash" varchar(max)  NOT NULL)

DELETE FROM "llama_extract"."extraction_runs__file" WHERE EXISTS (SELECT 1 FROM "llama_extract_staging"."extraction_runs__file" WHERE "llama_extract"."extraction_runs__file"."_run_id" = "llama_extract_staging"."extraction_runs__file"."_run_id")
INSERT INTO "llama_extract"."extraction_runs__file"("_run_id", "_dlt_id", "_dlt_parent_id", "_dlt_list_idx", "_dlt_load_id", "_deleted", "id", "name", "project_id", "data_source_id", "external_file_id", "file_type", "purpose", "created_at", "updated_at", "expires_at", "last_modified_at", "file_size", "permission_info", "resource_info") SELECT "_run_id", "_dlt_id", "_dlt_parent_id", "_dlt_list_idx", "_dlt_load_id", "_deleted", "id", "name", "project_id", "data_source_id", "external_file_id", "file_type", "purpose", "created_at", "updated_at", "expires_at", "last_modified_at", "file_size", "permission_info", "resource_info" FROM "llama_extract_staging"."extraction_runs__file" WHERE ("_deleted" IS NULL OR "_deleted" = False)

DELETE FROM "llama_extract"."extraction_runs" WHERE EXISTS (SELECT 1 FROM "llama_extract_staging"."extraction_runs" WHERE "llama_extract"."extraction_runs"."id" = "llama_extract_staging"."extraction_runs"."id")
INSERT INTO "llama_extract"."extraction_runs"("id", "agent_name", "file_name", "status", "extraction_agent_id", "project_id", "job_id", "file_id", "error", "created_at", "updated_at", "from_ui", "extraction_metadata__usage__num_pages_extracted", "extraction_metadata__usage__num_document_tokens", "extraction_metadata__usage__num_output_tokens", "data_schema_hash", "_content_hash", "_child_rows", "_dlt_load_id", "_deleted_at", "_deleted", "extraction_metadata__usage__num_reasoning_tokens")                  SELECT "id", "agent_name", "file_name", "status", "extraction_agent_id", "project_id", "job_id", "file_id", "error", "created_at", "updated_at", "from_ui", "extraction_metadata__usage__num_pages_extracted", "extraction_metadata__usage__num_document_tokens", "extraction_metadata__usage__num_output_tokens", "data_schema_hash", "_content_hash", "_child_rows", "_dlt_load_id", "_deleted_at", "_deleted", "extraction_metadata__usage__num_reasoning_tokens"                     FROM (                         SELECT ROW_NUMBER() OVER (partition BY "id" ORDER BY (SELECT NULL)) AS _dlt_dedup_rn, "id", "agent_name", "file_name", "status", "extraction_agent_id", "project_id", "job_id", "file_id", "error", "created_at", "updated_at", "from_ui", "extraction_metadata__usage__num_pages_extracted", "extraction_metadata__usage__num_document_tokens", "extraction_metadata__usage__num_output_tokens", "data_schema_hash", "_content_hash", "_child_rows", "_dlt_load_id", "_deleted_at", "_deleted", "extraction_metadata__usage__num_reasoning_tokens"                         FROM "llama_extract_staging"."extraction_runs"                     ) AS _dlt_dedup_numbered WHERE _dlt_dedup_rn = 1 AND (1 = 1)
