CREATE TABLE `warehouse`.`llama_extract___extraction_agents` (
`_content_hash` Nullable(String),
`config` Nullable(String),
`created_at` Nullable(DateTime64(6,'UTC')),
`custom_configuration` Nullable(String),
`data_schema_hash` Nullable(String),
`id` String,
`name` Nullable(String),
`project_id` Nullable(String),
`updated_at` Nullable(DateTime64(6,'UTC')))
ENGINE = MergeTree
PRIMARY KEY (`id`)

CREATE TABLE `warehouse`.`llama_extract___extraction_runs` (
`_child_rows` Nullable(Int64),
`_content_hash` Nullable(String),
`_deleted` Nullable(Boolean),
`_deleted_at` Nullable(DateTime64(6,'UTC')),
`_dlt_load_id` Nullable(String),
`agent_name` Nullable(String),
`created_at` Nullable(DateTime64(6,'UTC')),
`data_schema_hash` Nullable(String),
`error` Nullable(String),
`extraction_agent_id` Nullable(String),
`extraction_metadata__usage__num_document_tokens` Nullable(Int64),
`extraction_metadata__usage__num_output_tokens` Nullable(Int64),
`extraction_metadata__usage__num_pages_extracted` Nullable(Int64),
`extraction_metadata__usage__num_reasoning_tokens` Nullable(Int64),
`file_id` Nullable(String),
`file_name` Nullable(String),
`from_ui` Nullable(Boolean),
`id` String,
`job_id` Nullable(String),
`project_id` Nullable(String),
`status` Nullable(String),
`updated_at` Nullable(DateTime64(6,'UTC')))
ENGINE = MergeTree
PRIMARY KEY (`id`)

CREATE TABLE `warehouse`.`llama_extract___extraction_runs__config` (
`_deleted` Nullable(Boolean),
`_dlt_id` Nullable(String),
`_dlt_list_idx` Nullable(Int64),
`_dlt_load_id` Nullable(String),
`_dlt_parent_id` Nullable(String),
`_run_id` String,
`chunk_mode` Nullable(String),
`citation_bbox` Nullable(Boolean),
`cite_sources` Nullable(Boolean),
`confidence_scores` Nullable(Boolean),
`extract_model` Nullable(String),
`extraction_mode` Nullable(String),
`extraction_target` Nullable(String),
`high_resolution_mode` Nullable(Boolean),
`invalidate_cache` Nullable(Boolean),
`multimodal_fast_mode` Nullable(Boolean),
`num_pages_context` Nullable(Int64),
`page_range` Nullable(String),
`parse_model` Nullable(String),
`priority` Nullable(String),
`system_prompt` Nullable(String),
`use_reasoning` Nullable(Boolean))
ENGINE = MergeTree
PRIMARY KEY tuple()

CREATE TABLE `warehouse`.`llama_extract___extraction_runs__data` (
`_deleted` Nullable(Boolean),
`_dlt_id` Nullable(String),
`_dlt_list_idx` Nullable(Int64),
`_dlt_load_id` Nullable(String),
`_dlt_parent_id` Nullable(String),
`_run_id` String,
`account_number` Nullable(String),
`amends` Nullable(String),
`amount` Nullable(Float64),
`auto_renews` Nullable(Boolean),
`balance` Nullable(Float64),
`booked_on` Nullable(String),
`born` Nullable(String),
`category` Nullable(String),
`cheque_number` Nullable(String),
`contract_id` Nullable(String),
`cost_center` Nullable(String),
`counterparty` Nullable(String),
`currency` Nullable(String),
`custom_terms__escrow_agent` Nullable(String),
`custom_terms__most_favoured` Nullable(String),
`custom_terms__penalty` Nullable(String),
`custom_terms__sla_hoursx` Nullable(String),
`custom_terms__uptimexx` Nullable(String),
`delivery_address__city` Nullable(String),
`delivery_address__country` Nullable(String),
`delivery_address__postal_code` Nullable(String),
`delivery_address__region` Nullable(String),
`delivery_address__street` Nullable(String),
`discount` Nullable(Float64),
`due_date` Nullable(String),
`effective_date` Nullable(String),
`email` Nullable(String),
`form_number` Nullable(String),
`governing_law` Nullable(String),
`handwritten` Nullable(Boolean),
`headline` Nullable(String),
`invoice_date` Nullable(String),
`invoice_number` Nullable(String),
`language` Nullable(String),
`late_fee` Nullable(Float64),
`liability_cap` Nullable(Float64),
`liability_cap__v_text` Nullable(String),
`name` Nullable(String),
`notes` Nullable(String),
`page` Nullable(Int64),
`paid` Nullable(Boolean),
`payment_terms` Nullable(String),
`phone` Nullable(String),
`police_report` Nullable(String),
`reasoning` Nullable(String),
`received_at` Nullable(DateTime64(6,'UTC')),
`reference` Nullable(Int64),
`reference__v_text` Nullable(String),
`renewal_notice` Nullable(String),
`renewal_term` Nullable(Int64),
`renewal_term__v_text` Nullable(String),
`section` Nullable(String),
`service_period` Nullable(String),
`signed_at` Nullable(DateTime64(6,'UTC')),
`signed_on` Nullable(String),
`subtotal` Nullable(Float64),
`summary` Nullable(String),
`text` Nullable(String),
`title` Nullable(String),
`total` Nullable(Float64),
`total__v_text` Nullable(String),
`value_date` Nullable(String),
`vendor__address__city` Nullable(String),
`vendor__address__country` Nullable(String),
`vendor__address__postal_code` Nullable(String),
`vendor__address__region` Nullable(String),
`vendor__address__street` Nullable(String),
`vendor__fax` Nullable(String),
`vendor__name` Nullable(String),
`vendor__tax_id` Nullable(String),
`witness` Nullable(String),
`years_of_experience` Nullable(Float64))
ENGINE = MergeTree
PRIMARY KEY tuple()

CREATE TABLE `warehouse`.`llama_extract___extraction_runs__data__availability` (
`_deleted` Nullable(Boolean),
`_dlt_id` Nullable(String),
`_dlt_list_idx` Nullable(Int64),
`_dlt_load_id` Nullable(String),
`_dlt_parent_id` Nullable(String),
`_run_id` String)
ENGINE = MergeTree
PRIMARY KEY tuple()

CREATE TABLE `warehouse`.`llama_extract___extraction_runs__data__availability__list` (
`_deleted` Nullable(Boolean),
`_dlt_id` Nullable(String),
`_dlt_list_idx` Nullable(Int64),
`_dlt_load_id` Nullable(String),
`_dlt_parent_id` Nullable(String),
`_run_id` String,
`value` Nullable(String))
ENGINE = MergeTree
PRIMARY KEY tuple()

CREATE TABLE `warehouse`.`llama_extract___extraction_runs__data__checkboxes` (
`_deleted` Nullable(Boolean),
`_dlt_id` Nullable(String),
`_dlt_list_idx` Nullable(Int64),
`_dlt_load_id` Nullable(String),
`_dlt_parent_id` Nullable(String),
`_run_id` String,
`value` Nullable(Boolean))
ENGINE = MergeTree
PRIMARY KEY tuple()

CREATE TABLE `warehouse`.`llama_extract___extraction_runs__data__clauses` (
`_deleted` Nullable(Boolean),
`_dlt_id` Nullable(String),
`_dlt_list_idx` Nullable(Int64),
`_dlt_load_id` Nullable(String),
`_dlt_parent_id` Nullable(String),
`_run_id` String,
`heading` Nullable(String),
`is_standard` Nullable(Boolean),
`number` Nullable(String),
`text` Nullable(String))
ENGINE = MergeTree
PRIMARY KEY tuple()

CREATE TABLE `warehouse`.`llama_extract___extraction_runs__data__clauses__sub_clauses` (
`_deleted` Nullable(Boolean),
`_dlt_id` Nullable(String),
`_dlt_list_idx` Nullable(Int64),
`_dlt_load_id` Nullable(String),
`_dlt_parent_id` Nullable(String),
`_run_id` String,
`is_standard` Nullable(Boolean),
`number` Nullable(String),
`text` Nullable(String))
ENGINE = MergeTree
PRIMARY KEY tuple()

CREATE TABLE `warehouse`.`llama_extract___extraction_runs__data__clauses__sub_clauses__sub_clauses` (
`_deleted` Nullable(Boolean),
`_dlt_id` Nullable(String),
`_dlt_list_idx` Nullable(Int64),
`_dlt_load_id` Nullable(String),
`_dlt_parent_id` Nullable(String),
`_run_id` String,
`is_standard` Nullable(Boolean),
`number` Nullable(String),
`text` Nullable(String))
ENGINE = MergeTree
PRIMARY KEY tuple()

CREATE TABLE `warehouse`.`llama_extract___extraction_runs__data__education` (
`_deleted` Nullable(Boolean),
`_dlt_id` Nullable(String),
`_dlt_list_idx` Nullable(Int64),
`_dlt_load_id` Nullable(String),
`_dlt_parent_id` Nullable(String),
`_run_id` String,
`degree` Nullable(String),
`grade` Nullable(String),
`school` Nullable(String),
`year` Nullable(Int64))
ENGINE = MergeTree
PRIMARY KEY tuple()

CREATE TABLE `warehouse`.`llama_extract___extraction_runs__data__entries` (
`_deleted` Nullable(Boolean),
`_dlt_id` Nullable(String),
`_dlt_list_idx` Nullable(Int64),
`_dlt_load_id` Nullable(String),
`_dlt_parent_id` Nullable(String),
`_run_id` String,
`crossed_out` Nullable(Boolean),
`label` Nullable(String),
`value` Nullable(String))
ENGINE = MergeTree
PRIMARY KEY tuple()

CREATE TABLE `warehouse`.`llama_extract___extraction_runs__data__jobs` (
`_deleted` Nullable(Boolean),
`_dlt_id` Nullable(String),
`_dlt_list_idx` Nullable(Int64),
`_dlt_load_id` Nullable(String),
`_dlt_parent_id` Nullable(String),
`_run_id` String,
`current` Nullable(Boolean),
`employer` Nullable(String),
`end` Nullable(String),
`start` Nullable(String),
`title` Nullable(String))
ENGINE = MergeTree
PRIMARY KEY tuple()

CREATE TABLE `warehouse`.`llama_extract___extraction_runs__data__jobs__bullets` (
`_deleted` Nullable(Boolean),
`_dlt_id` Nullable(String),
`_dlt_list_idx` Nullable(Int64),
`_dlt_load_id` Nullable(String),
`_dlt_parent_id` Nullable(String),
`_run_id` String,
`text` Nullable(String))
ENGINE = MergeTree
PRIMARY KEY tuple()

CREATE TABLE `warehouse`.`llama_extract___extraction_runs__data__jobs__bullets__tools` (
`_deleted` Nullable(Boolean),
`_dlt_id` Nullable(String),
`_dlt_list_idx` Nullable(Int64),
`_dlt_load_id` Nullable(String),
`_dlt_parent_id` Nullable(String),
`_run_id` String,
`value` Nullable(String))
ENGINE = MergeTree
PRIMARY KEY tuple()

CREATE TABLE `warehouse`.`llama_extract___extraction_runs__data__line_items` (
`_deleted` Nullable(Boolean),
`_dlt_id` Nullable(String),
`_dlt_list_idx` Nullable(Int64),
`_dlt_load_id` Nullable(String),
`_dlt_parent_id` Nullable(String),
`_run_id` String,
`amount` Nullable(Float64),
`description` Nullable(String),
`quantity` Nullable(Float64),
`serial_number` Nullable(String),
`sku` Nullable(String),
`unit_price` Nullable(Float64))
ENGINE = MergeTree
PRIMARY KEY tuple()

CREATE TABLE `warehouse`.`llama_extract___extraction_runs__data__line_items__taxes` (
`_deleted` Nullable(Boolean),
`_dlt_id` Nullable(String),
`_dlt_list_idx` Nullable(Int64),
`_dlt_load_id` Nullable(String),
`_dlt_parent_id` Nullable(String),
`_run_id` String,
`amount` Nullable(Float64),
`name` Nullable(String),
`rate` Nullable(Float64))
ENGINE = MergeTree
PRIMARY KEY tuple()

CREATE TABLE `warehouse`.`llama_extract___extraction_runs__data__parties` (
`_deleted` Nullable(Boolean),
`_dlt_id` Nullable(String),
`_dlt_list_idx` Nullable(Int64),
`_dlt_load_id` Nullable(String),
`_dlt_parent_id` Nullable(String),
`_run_id` String,
`name` Nullable(String),
`registration_number` Nullable(String),
`role` Nullable(String),
`signed` Nullable(Boolean))
ENGINE = MergeTree
PRIMARY KEY tuple()

CREATE TABLE `warehouse`.`llama_extract___extraction_runs__data__parties__signatories` (
`_deleted` Nullable(Boolean),
`_dlt_id` Nullable(String),
`_dlt_list_idx` Nullable(Int64),
`_dlt_load_id` Nullable(String),
`_dlt_parent_id` Nullable(String),
`_run_id` String,
`value` Nullable(String))
ENGINE = MergeTree
PRIMARY KEY tuple()

CREATE TABLE `warehouse`.`llama_extract___extraction_runs__data__publications` (
`_deleted` Nullable(Boolean),
`_dlt_id` Nullable(String),
`_dlt_list_idx` Nullable(Int64),
`_dlt_load_id` Nullable(String),
`_dlt_parent_id` Nullable(String),
`_run_id` String,
`value` Nullable(String))
ENGINE = MergeTree
PRIMARY KEY tuple()

CREATE TABLE `warehouse`.`llama_extract___extraction_runs__data__scores` (
`_deleted` Nullable(Boolean),
`_dlt_id` Nullable(String),
`_dlt_list_idx` Nullable(Int64),
`_dlt_load_id` Nullable(String),
`_dlt_parent_id` Nullable(String),
`_run_id` String)
ENGINE = MergeTree
PRIMARY KEY tuple()

CREATE TABLE `warehouse`.`llama_extract___extraction_runs__data__scores__list` (
`_deleted` Nullable(Boolean),
`_dlt_id` Nullable(String),
`_dlt_list_idx` Nullable(Int64),
`_dlt_load_id` Nullable(String),
`_dlt_parent_id` Nullable(String),
`_run_id` String,
`value` Nullable(Float64))
ENGINE = MergeTree
PRIMARY KEY tuple()

CREATE TABLE `warehouse`.`llama_extract___extraction_runs__data__skills` (
`_deleted` Nullable(Boolean),
`_dlt_id` Nullable(String),
`_dlt_list_idx` Nullable(Int64),
`_dlt_load_id` Nullable(String),
`_dlt_parent_id` Nullable(String),
`_run_id` String,
`value` Nullable(String))
ENGINE = MergeTree
PRIMARY KEY tuple()

CREATE TABLE `warehouse`.`llama_extract___extraction_runs__field_metadata` (
`_deleted` Nullable(Boolean),
`_dlt_id` Nullable(String),
`_dlt_list_idx` Nullable(Int64),
`_dlt_load_id` Nullable(String),
`_dlt_parent_id` Nullable(String),
`_run_id` String,
`confidence` Nullable(Float64),
`data_column` Nullable(String),
`data_row_id` Nullable(String),
`data_table` Nullable(String),
`data_value` Nullable(String),
`error` Nullable(String),
`extraction_confidence` Nullable(Float64),
`field_name` Nullable(String),
`field_path` Nullable(String),
`parsing_confidence` Nullable(Float64),
`reasoning` Nullable(String))
ENGINE = MergeTree
PRIMARY KEY tuple()

CREATE TABLE `warehouse`.`llama_extract___extraction_runs__field_metadata__citation` (
`_deleted` Nullable(Boolean),
`_dlt_id` Nullable(String),
`_dlt_list_idx` Nullable(Int64),
`_dlt_load_id` Nullable(String),
`_dlt_parent_id` Nullable(String),
`_run_id` String,
`matching_text` Nullable(String),
`page` Nullable(Int64),
`page_dimensions__height` Nullable(Float64),
`page_dimensions__width` Nullable(Float64))
ENGINE = MergeTree
PRIMARY KEY tuple()

CREATE TABLE `warehouse`.`llama_extract___extraction_runs__field_metadata__citation__bounding_boxes` (
`_deleted` Nullable(Boolean),
`_dlt_id` Nullable(String),
`_dlt_list_idx` Nullable(Int64),
`_dlt_load_id` Nullable(String),
`_dlt_parent_id` Nullable(String),
`_run_id` String,
`h` Nullable(Float64),
`w` Nullable(Float64),
`x` Nullable(Float64),
`y` Nullable(Float64))
ENGINE = MergeTree
PRIMARY KEY tuple()

CREATE TABLE `warehouse`.`llama_extract___extraction_runs__file` (
`_deleted` Nullable(Boolean),
`_dlt_id` Nullable(String),
`_dlt_list_idx` Nullable(Int64),
`_dlt_load_id` Nullable(String),
`_dlt_parent_id` Nullable(String),
`_run_id` String,
`created_at` Nullable(DateTime64(6,'UTC')),
`data_source_id` Nullable(String),
`expires_at` Nullable(DateTime64(6,'UTC')),
`external_file_id` Nullable(String),
`file_size` Nullable(Int64),
`file_type` Nullable(String),
`id` Nullable(String),
`last_modified_at` Nullable(DateTime64(6,'UTC')),
`name` Nullable(String),
`permission_info` Nullable(String),
`project_id` Nullable(String),
`purpose` Nullable(String),
`resource_info` Nullable(String),
`updated_at` Nullable(DateTime64(6,'UTC')))
ENGINE = MergeTree
PRIMARY KEY tuple()

CREATE TABLE `warehouse`.`llama_extract___extraction_runs__rejected` (
`_dlt_id` String,
`extraction_agent_id` Nullable(String),
`position` Nullable(String),
`raw` Nullable(String),
`reason` Nullable(String))
ENGINE = MergeTree
PRIMARY KEY (`_dlt_id`)

CREATE TABLE `warehouse`.`llama_extract___extraction_schemas` (
`data_schema` Nullable(String),
`hash` String)
ENGINE = MergeTree
PRIMARY KEY (`hash`)

DELETE FROM `warehouse`.`llama_extract___extraction_runs__file` WHERE (`_run_id`) IN (SELECT `_run_id` FROM `warehouse`.`llama_extract_staging___extraction_runs__file`)
INSERT INTO `warehouse`.`llama_extract___extraction_runs__file`(`_run_id`, `_dlt_id`, `_dlt_parent_id`, `_dlt_list_idx`, `_dlt_load_id`, `_deleted`, `id`, `name`, `project_id`, `data_source_id`, `external_file_id`, `file_type`, `purpose`, `created_at`, `updated_at`, `expires_at`, `last_modified_at`, `file_size`, `permission_info`, `resource_info`) SELECT `_run_id`, `_dlt_id`, `_dlt_parent_id`, `_dlt_list_idx`, `_dlt_load_id`, `_deleted`, `id`, `name`, `project_id`, `data_source_id`, `external_file_id`, `file_type`, `purpose`, `created_at`, `updated_at`, `expires_at`, `last_modified_at`, `file_size`, `permission_info`, `resource_info` FROM `warehouse`.`llama_extract_staging___extraction_runs__file` WHERE (`_deleted` IS NULL OR `_deleted` = False)

DELETE FROM `warehouse`.`llama_extract___extraction_runs` WHERE (`id`) IN (SELECT `id` FROM `warehouse`.`llama_extract_staging___extraction_runs`)
INSERT INTO `warehouse`.`llama_extract___extraction_runs`(`id`, `agent_name`, `file_name`, `status`, `extraction_agent_id`, `project_id`, `job_id`, `file_id`, `error`, `created_at`, `updated_at`, `from_ui`, `extraction_metadata__usage__num_pages_extracted`, `extraction_metadata__usage__num_document_tokens`, `extraction_metadata__usage__num_output_tokens`, `data_schema_hash`, `_content_hash`, `_child_rows`, `_dlt_load_id`, `_deleted_at`, `_deleted`, `extraction_metadata__usage__num_reasoning_tokens`)                  SELECT `id`, `agent_name`, `file_name`, `status`, `extraction_agent_id`, `project_id`, `job_id`, `file_id`, `error`, `created_at`, `updated_at`, `from_ui`, `extraction_metadata__usage__num_pages_extracted`, `extraction_metadata__usage__num_document_tokens`, `extraction_metadata__usage__num_output_tokens`, `data_schema_hash`, `_content_hash`, `_child_rows`, `_dlt_load_id`, `_deleted_at`, `_deleted`, `extraction_metadata__usage__num_reasoning_tokens`                     FROM (                         SELECT ROW_NUMBER() OVER (partition BY `id` ORDER BY (SELECT NULL)) AS _dlt_dedup_rn, `id`, `agent_name`, `file_name`, `status`, `extraction_agent_id`, `project_id`, `job_id`, `file_id`, `error`, `created_at`, `updated_at`, `from_ui`, `extraction_metadata__usage__num_pages_extracted`, `extraction_metadata__usage__num_document_tokens`, `extraction_metadata__usage__num_output_tokens`, `data_schema_hash`, `_content_hash`, `_child_rows`, `_dlt_load_id`, `_deleted_at`, `_deleted`, `extraction_metadata__usage__num_reasoning_tokens`                         FROM `warehouse`.`llama_extract_staging___extraction_runs`                     ) AS _dlt_dedup_numbered WHERE _dlt_dedup_rn = 1 AND (1 = 1)
