CREATE TABLE `main`.`llama_extract`.`extraction_agents` (
`_content_hash` STRING  ,
`config` STRING  ,
`created_at` TIMESTAMP  ,
`custom_configuration` STRING  ,
`data_schema_hash` STRING  ,
`id` STRING  NOT NULL,
`name` STRING  ,
`project_id` STRING  ,
`updated_at` TIMESTAMP  )

CREATE TABLE `main`.`llama_extract`.`extraction_runs` (
`_child_rows` BIGINT  ,
`_content_hash` STRING  ,
`_deleted` BOOLEAN  ,
`_deleted_at` TIMESTAMP  ,
`_dlt_load_id` STRING  ,
`agent_name` STRING  ,
`created_at` TIMESTAMP  ,
`data_schema_hash` STRING  ,
`error` STRING  ,
`extraction_agent_id` STRING  ,
`extraction_metadata__usage__num_document_tokens` BIGINT  ,
`extraction_metadata__usage__num_output_tokens` BIGINT  ,
`extraction_metadata__usage__num_pages_extracted` BIGINT  ,
`extraction_metadata__usage__num_reasoning_tokens` BIGINT  ,
`file_id` STRING  ,
`file_name` STRING  ,
`from_ui` BOOLEAN  ,
`id` STRING  NOT NULL,
`job_id` STRING  ,
`project_id` STRING  ,
`status` STRING  ,
`updated_at` TIMESTAMP  )

CREATE TABLE `main`.`llama_extract`.`extraction_runs__config` (
`_deleted` BOOLEAN  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` BIGINT  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`chunk_mode` STRING  ,
`citation_bbox` BOOLEAN  ,
`cite_sources` BOOLEAN  ,
`confidence_scores` BOOLEAN  ,
`extract_model` STRING  ,
`extraction_mode` STRING  ,
`extraction_target` STRING  ,
`high_resolution_mode` BOOLEAN  ,
`invalidate_cache` BOOLEAN  ,
`multimodal_fast_mode` BOOLEAN  ,
`num_pages_context` BIGINT  ,
`page_range` STRING  ,
`parse_model` STRING  ,
`priority` STRING  ,
`system_prompt` STRING  ,
`use_reasoning` BOOLEAN  )

CREATE TABLE `main`.`llama_extract`.`extraction_runs__data` (
`_deleted` BOOLEAN  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` BIGINT  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`account_number` STRING   COMMENT 'Account number with leading zeros.',
`amends` STRING   COMMENT 'Number of the contract that this one amends.',
`amount` DOUBLE   COMMENT 'Amount; negative for a debit.',
`auto_renews` BOOLEAN   COMMENT 'True when the contract renews unless it is terminated.',
`balance` DOUBLE   COMMENT 'Balance after the booking.',
`booked_on` DATE   COMMENT 'Date of the booking.',
`born` STRING   COMMENT 'Date of birth as written.',
`category` STRING   COMMENT 'Category of the booking.',
`cheque_number` STRING   COMMENT 'Number of the cheque.',
`contract_id` STRING   COMMENT 'Number of the contract as printed.',
`cost_center` STRING   COMMENT 'Our cost centre, when it is printed.',
`counterparty` STRING   COMMENT 'Name of the other party.',
`currency` STRING   COMMENT 'Currency of all amounts on the invoice.',
`custom_terms__escrow_agent` STRING  ,
`custom_terms__most_favoured` STRING  ,
`custom_terms__penalty` STRING  ,
`custom_terms__sla_hoursx` STRING  ,
`custom_terms__uptimexx` STRING  ,
`delivery_address__city` STRING   COMMENT 'City or town.',
`delivery_address__country` STRING   COMMENT 'ISO 3166-1 alpha-2 country code.',
`delivery_address__postal_code` STRING   COMMENT 'Postal code as printed; leading zeros matter.',
`delivery_address__region` STRING   COMMENT 'State, province or canton, when it is printed.',
`delivery_address__street` STRING   COMMENT 'Street and house number, without the city.',
`discount` DOUBLE   COMMENT 'Discount on the whole invoice as a positive amount.',
`due_date` DATE   COMMENT 'Date by which payment is due.',
`effective_date` DATE   COMMENT 'Date on which the contract takes effect.',
`email` STRING   COMMENT 'E-mail address.',
`form_number` STRING   COMMENT 'Number of the form, for example 00123.',
`governing_law` STRING   COMMENT 'Governing law.',
`handwritten` BOOLEAN   COMMENT 'True when the page is written by hand.',
`headline` STRING   COMMENT 'The line under the name.',
`invoice_date` DATE   COMMENT 'Date of issue.',
`invoice_number` STRING   COMMENT 'The supplier\'s invoice number exactly as printed, with leading zeros and separators.',
`language` STRING   COMMENT 'Language in which the contract is written.',
`late_fee` DOUBLE   COMMENT 'Fee for late payment of an earlier invoice.',
`liability_cap` DOUBLE   COMMENT 'Cap of the liability in the currency of the contract.',
`liability_cap__v_text` STRING  ,
`name` STRING   COMMENT 'Full name as written.',
`notes` STRING   COMMENT 'Any other remark on the document, line breaks kept.',
`page` BIGINT   COMMENT 'Page number as printed.',
`paid` BOOLEAN   COMMENT 'True when the document says that it has been paid already.',
`payment_terms` STRING   COMMENT 'Payment terms as printed, for example \'30 days net, 2% 10 days\'.',
`phone` STRING   COMMENT 'Phone number as written.',
`police_report` STRING   COMMENT 'Number of the police report.',
`reasoning` STRING   COMMENT 'Why the applicant says that they fit the position.',
`received_at` TIMESTAMP   COMMENT 'Time of the received stamp, if there is one.',
`reference` BIGINT   COMMENT 'Customer reference or purchase order number.',
`reference__v_text` STRING  ,
`renewal_notice` STRING   COMMENT 'Notice period as an ISO 8601 duration.',
`renewal_term` BIGINT   COMMENT 'Length of a renewal in months.',
`renewal_term__v_text` STRING  ,
`section` STRING   COMMENT 'Heading of the page.',
`service_period` STRING   COMMENT 'Period of service as printed, for example 01.03.2025 - 31.03.2025.',
`signed_at` TIMESTAMP   COMMENT 'Time of the signature.',
`signed_on` STRING   COMMENT 'Date of signature as written.',
`subtotal` DOUBLE   COMMENT 'Sum of the line amounts before taxes and discount.',
`summary` STRING   COMMENT 'Summary of the contract in plain words.',
`text` STRING   COMMENT 'Booking text, line breaks kept.',
`title` STRING   COMMENT 'Title of the contract.',
`total` DOUBLE   COMMENT 'Amount payable including taxes.',
`total__v_text` STRING  ,
`value_date` STRING   COMMENT 'Value date as printed.',
`vendor__address__city` STRING   COMMENT 'City or town.',
`vendor__address__country` STRING   COMMENT 'ISO 3166-1 alpha-2 country code.',
`vendor__address__postal_code` STRING   COMMENT 'Postal code as printed; leading zeros matter.',
`vendor__address__region` STRING   COMMENT 'State, province or canton, when it is printed.',
`vendor__address__street` STRING   COMMENT 'Street and house number, without the city.',
`vendor__fax` STRING   COMMENT 'Fax number.',
`vendor__name` STRING   COMMENT 'Legal name of the company, including its legal form.',
`vendor__tax_id` STRING   COMMENT 'VAT or tax number, as printed.',
`witness` STRING   COMMENT 'Name of a witness.',
`years_of_experience` DOUBLE   COMMENT 'Years of professional experience.')

CREATE TABLE `main`.`llama_extract`.`extraction_runs__data__availability` (
`_deleted` BOOLEAN  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` BIGINT  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL)

CREATE TABLE `main`.`llama_extract`.`extraction_runs__data__availability__list` (
`_deleted` BOOLEAN  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` BIGINT  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`value` STRING  )

CREATE TABLE `main`.`llama_extract`.`extraction_runs__data__checkboxes` (
`_deleted` BOOLEAN  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` BIGINT  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`value` BOOLEAN  )

CREATE TABLE `main`.`llama_extract`.`extraction_runs__data__clauses` (
`_deleted` BOOLEAN  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` BIGINT  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`heading` STRING   COMMENT 'Heading, when there is one.',
`is_standard` BOOLEAN   COMMENT 'False when the clause departs from our template.',
`number` STRING   COMMENT 'Number as printed, for example 4.2.1.',
`text` STRING   COMMENT 'Full text of the clause.')

CREATE TABLE `main`.`llama_extract`.`extraction_runs__data__clauses__sub_clauses` (
`_deleted` BOOLEAN  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` BIGINT  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`is_standard` BOOLEAN   COMMENT 'False when the clause departs from our template.',
`number` STRING   COMMENT 'Number as printed, for example 4.2.1.',
`text` STRING   COMMENT 'Full text of the clause.')

CREATE TABLE `main`.`llama_extract`.`extraction_runs__data__clauses__sub_clauses__sub_clauses` (
`_deleted` BOOLEAN  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` BIGINT  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`is_standard` BOOLEAN   COMMENT 'False when the clause departs from our template.',
`number` STRING   COMMENT 'Number as printed, for example 4.2.1.',
`text` STRING   COMMENT 'Full text of the clause.')

CREATE TABLE `main`.`llama_extract`.`extraction_runs__data__education` (
`_deleted` BOOLEAN  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` BIGINT  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`degree` STRING   COMMENT 'Degree as written.',
`grade` STRING   COMMENT 'Grade as printed.',
`school` STRING   COMMENT 'Name of the school.',
`year` BIGINT   COMMENT 'Year of the degree.')

CREATE TABLE `main`.`llama_extract`.`extraction_runs__data__entries` (
`_deleted` BOOLEAN  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` BIGINT  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`crossed_out` BOOLEAN   COMMENT 'True when the entry was crossed out.',
`label` STRING   COMMENT 'Printed label of the box.',
`value` STRING   COMMENT 'What was filled in.')

CREATE TABLE `main`.`llama_extract`.`extraction_runs__data__jobs` (
`_deleted` BOOLEAN  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` BIGINT  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`current` BOOLEAN   COMMENT 'True when the position is current.',
`employer` STRING   COMMENT 'Name of the employer.',
`end` STRING   COMMENT 'End as written; null when the position is current.',
`start` STRING   COMMENT 'Start as written, for example 03/2019.',
`title` STRING   COMMENT 'Title of the position.')

CREATE TABLE `main`.`llama_extract`.`extraction_runs__data__jobs__bullets` (
`_deleted` BOOLEAN  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` BIGINT  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`text` STRING   COMMENT 'The line.')

CREATE TABLE `main`.`llama_extract`.`extraction_runs__data__jobs__bullets__tools` (
`_deleted` BOOLEAN  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` BIGINT  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`value` STRING  )

CREATE TABLE `main`.`llama_extract`.`extraction_runs__data__line_items` (
`_deleted` BOOLEAN  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` BIGINT  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`amount` DOUBLE   COMMENT 'Amount of the line before taxes.',
`description` STRING   COMMENT 'Description of the goods or services, line breaks kept.',
`quantity` DOUBLE   COMMENT 'Quantity; 1 when none is printed.',
`serial_number` STRING   COMMENT 'Serial number of the article.',
`sku` STRING   COMMENT 'Article number, as printed; may have leading zeros.',
`unit_price` DOUBLE   COMMENT 'Price of one unit before taxes.')

CREATE TABLE `main`.`llama_extract`.`extraction_runs__data__line_items__taxes` (
`_deleted` BOOLEAN  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` BIGINT  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`amount` DOUBLE   COMMENT 'Amount of the tax.',
`name` STRING   COMMENT 'Name of the tax, for example VAT or GST.',
`rate` DOUBLE   COMMENT 'Rate in percent.')

CREATE TABLE `main`.`llama_extract`.`extraction_runs__data__parties` (
`_deleted` BOOLEAN  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` BIGINT  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`name` STRING   COMMENT 'Legal name.',
`registration_number` STRING   COMMENT 'Number in the commercial register.',
`role` STRING   COMMENT 'Role in the contract.',
`signed` BOOLEAN   COMMENT 'Whether there is a signature.')

CREATE TABLE `main`.`llama_extract`.`extraction_runs__data__parties__signatories` (
`_deleted` BOOLEAN  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` BIGINT  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`value` STRING  )

CREATE TABLE `main`.`llama_extract`.`extraction_runs__data__publications` (
`_deleted` BOOLEAN  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` BIGINT  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`value` STRING  )

CREATE TABLE `main`.`llama_extract`.`extraction_runs__data__scores` (
`_deleted` BOOLEAN  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` BIGINT  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL)

CREATE TABLE `main`.`llama_extract`.`extraction_runs__data__scores__list` (
`_deleted` BOOLEAN  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` BIGINT  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`value` DOUBLE  )

CREATE TABLE `main`.`llama_extract`.`extraction_runs__data__skills` (
`_deleted` BOOLEAN  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` BIGINT  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`value` STRING  )

CREATE TABLE `main`.`llama_extract`.`extraction_runs__field_metadata` (
`_deleted` BOOLEAN  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` BIGINT  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`confidence` DOUBLE  ,
`data_column` STRING  ,
`data_row_id` STRING  ,
`data_table` STRING  ,
`data_value` STRING  ,
`error` STRING  ,
`extraction_confidence` DOUBLE  ,
`field_name` STRING  ,
`field_path` STRING  ,
`parsing_confidence` DOUBLE  ,
`reasoning` STRING  )

CREATE TABLE `main`.`llama_extract`.`extraction_runs__field_metadata__citation` (
`_deleted` BOOLEAN  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` BIGINT  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`matching_text` STRING  ,
`page` BIGINT  ,
`page_dimensions__height` DOUBLE  ,
`page_dimensions__width` DOUBLE  )

CREATE TABLE `main`.`llama_extract`.`extraction_runs__field_metadata__citation__bounding_boxes` (
`_deleted` BOOLEAN  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` BIGINT  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`h` DOUBLE  ,
`w` DOUBLE  ,
`x` DOUBLE  ,
`y` DOUBLE  )

CREATE TABLE `main`.`llama_extract`.`extraction_runs__file` (
`_deleted` BOOLEAN  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` BIGINT  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`created_at` TIMESTAMP  ,
`data_source_id` STRING  ,
`expires_at` TIMESTAMP  ,
`external_file_id` STRING  ,
`file_size` BIGINT  ,
`file_type` STRING  ,
`id` STRING  ,
`last_modified_at` TIMESTAMP  ,
`name` STRING  ,
`permission_info` STRING  ,
`project_id` STRING  ,
`purpose` STRING  ,
`resource_info` STRING  ,
`updated_at` TIMESTAMP  )

CREATE TABLE `main`.`llama_extract`.`extraction_runs__rejected` (
`_dlt_id` STRING  NOT NULL,
`extraction_agent_id` STRING  ,
`position` STRING  ,
`raw` STRING  ,
`reason` STRING  )

CREATE TABLE `main`.`llama_extract`.`extraction_schemas` (
`data_schema` STRING  ,
`hash` STRING  NOT NULL)

DELETE FROM `main`.`llama_extract`.`extraction_runs__file` as d WHERE EXISTS (SELECT 1 FROM `main`.`llama_extract_staging`.`extraction_runs__file` as s WHERE d.`_run_id` = s.`_run_id`)
INSERT INTO `main`.`llama_extract`.`extraction_runs__file`(`_run_id`, `_dlt_id`, `_dlt_parent_id`, `_dlt_list_idx`, `_dlt_load_id`, `_deleted`, `id`, `name`, `project_id`, `data_source_id`, `external_file_id`, `file_type`, `purpose`, `created_at`, `updated_at`, `expires_at`, `last_modified_at`, `file_size`, `permission_info`, `resource_info`) SELECT `_run_id`, `_dlt_id`, `_dlt_parent_id`, `_dlt_list_idx`, `_dlt_load_id`, `_deleted`, `id`, `name`, `project_id`, `data_source_id`, `external_file_id`, `file_type`, `purpose`, `created_at`, `updated_at`, `expires_at`, `last_modified_at`, `file_size`, `permission_info`, `resource_info` FROM `main`.`llama_extract_staging`.`extraction_runs__file` WHERE (`_deleted` IS NULL OR `_deleted` = False)

DELETE FROM `main`.`llama_extract`.`extraction_runs` as d WHERE EXISTS (SELECT 1 FROM `main`.`llama_extract_staging`.`extraction_runs` as s WHERE d.`id` = s.`id`)
INSERT INTO `main`.`llama_extract`.`extraction_runs`(`id`, `agent_name`, `file_name`, `status`, `extraction_agent_id`, `project_id`, `job_id`, `file_id`, `error`, `created_at`, `updated_at`, `from_ui`, `extraction_metadata__usage__num_pages_extracted`, `extraction_metadata__usage__num_document_tokens`, `extraction_metadata__usage__num_output_tokens`, `data_schema_hash`, `_content_hash`, `_child_rows`, `_dlt_load_id`, `_deleted_at`, `_deleted`, `extraction_metadata__usage__num_reasoning_tokens`)                  SELECT `id`, `agent_name`, `file_name`, `status`, `extraction_agent_id`, `project_id`, `job_id`, `file_id`, `error`, `created_at`, `updated_at`, `from_ui`, `extraction_metadata__usage__num_pages_extracted`, `extraction_metadata__usage__num_document_tokens`, `extraction_metadata__usage__num_output_tokens`, `data_schema_hash`, `_content_hash`, `_child_rows`, `_dlt_load_id`, `_deleted_at`, `_deleted`, `extraction_metadata__usage__num_reasoning_tokens`                     FROM (                         SELECT ROW_NUMBER() OVER (partition BY `id` ORDER BY (SELECT NULL)) AS _dlt_dedup_rn, `id`, `agent_name`, `file_name`, `status`, `extraction_agent_id`, `project_id`, `job_id`, `file_id`, `error`, `created_at`, `updated_at`, `from_ui`, `extraction_metadata__usage__num_pages_extracted`, `extraction_metadata__usage__num_document_tokens`, `extraction_metadata__usage__num_output_tokens`, `data_schema_hash`, `_content_hash`, `_child_rows`, `_dlt_load_id`, `_deleted_at`, `_deleted`, `extraction_metadata__usage__num_reasoning_tokens`                         FROM `main`.`llama_extract_staging`.`extraction_runs`                     ) AS _dlt_dedup_numbered WHERE _dlt_dedup_rn = 1 AND (1 = 1)
