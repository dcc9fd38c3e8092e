CREATE TABLE `project`.`llama_extract`.`extraction_agents` (
`_content_hash` STRING  ,
`config` STRING  ,
`created_at` TIMESTAMP  ,
`custom_configuration` STRING  ,
`data_schema_hash` STRING  ,
`id` STRING  NOT NULL,
`name` STRING  ,
`project_id` STRING  ,
`updated_at` TIMESTAMP  )

CREATE TABLE `project`.`llama_extract`.`extraction_runs` (
`_child_rows` INT64  ,
`_content_hash` STRING  ,
`_deleted` BOOL  ,
`_deleted_at` TIMESTAMP  ,
`_dlt_load_id` STRING  ,
`agent_name` STRING  ,
`created_at` TIMESTAMP  ,
`data_schema_hash` STRING  ,
`error` STRING  ,
`extraction_agent_id` STRING  ,
`extraction_metadata__usage__num_document_tokens` INT64  ,
`extraction_metadata__usage__num_output_tokens` INT64  ,
`extraction_metadata__usage__num_pages_extracted` INT64  ,
`extraction_metadata__usage__num_reasoning_tokens` INT64  ,
`file_id` STRING  ,
`file_name` STRING  ,
`from_ui` BOOL  ,
`id` STRING  NOT NULL,
`job_id` STRING  ,
`project_id` STRING  ,
`status` STRING  ,
`updated_at` TIMESTAMP  )

CREATE TABLE `project`.`llama_extract`.`extraction_runs__config` (
`_deleted` BOOL  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` INT64  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`chunk_mode` STRING  ,
`citation_bbox` BOOL  ,
`cite_sources` BOOL  ,
`confidence_scores` BOOL  ,
`extract_model` STRING  ,
`extraction_mode` STRING  ,
`extraction_target` STRING  ,
`high_resolution_mode` BOOL  ,
`invalidate_cache` BOOL  ,
`multimodal_fast_mode` BOOL  ,
`num_pages_context` INT64  ,
`page_range` STRING  ,
`parse_model` STRING  ,
`priority` STRING  ,
`system_prompt` STRING  ,
`use_reasoning` BOOL  )

CREATE TABLE `project`.`llama_extract`.`extraction_runs__data` (
`_deleted` BOOL  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` INT64  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`account_number` STRING   OPTIONS (description='Account number with leading zeros.'),
`amends` STRING   OPTIONS (description='Number of the contract that this one amends.'),
`amount` FLOAT64   OPTIONS (description='Amount; negative for a debit.'),
`auto_renews` BOOL   OPTIONS (description='True when the contract renews unless it is terminated.'),
`balance` FLOAT64   OPTIONS (description='Balance after the booking.'),
`booked_on` DATE   OPTIONS (description='Date of the booking.'),
`born` STRING   OPTIONS (description='Date of birth as written.'),
`category` STRING   OPTIONS (description='Category of the booking.'),
`cheque_number` STRING   OPTIONS (description='Number of the cheque.'),
`contract_id` STRING   OPTIONS (description='Number of the contract as printed.'),
`cost_center` STRING   OPTIONS (description='Our cost centre, when it is printed.'),
`counterparty` STRING   OPTIONS (description='Name of the other party.'),
`currency` STRING   OPTIONS (description='Currency of all amounts on the invoice.'),
`custom_terms__escrow_agent` STRING  ,
`custom_terms__most_favoured` STRING  ,
`custom_terms__penalty` STRING  ,
`custom_terms__sla_hoursx` STRING  ,
`custom_terms__uptimexx` STRING  ,
`delivery_address__city` STRING   OPTIONS (description='City or town.'),
`delivery_address__country` STRING   OPTIONS (description='ISO 3166-1 alpha-2 country code.'),
`delivery_address__postal_code` STRING   OPTIONS (description='Postal code as printed; leading zeros matter.'),
`delivery_address__region` STRING   OPTIONS (description='State, province or canton, when it is printed.'),
`delivery_address__street` STRING   OPTIONS (description='Street and house number, without the city.'),
`discount` FLOAT64   OPTIONS (description='Discount on the whole invoice as a positive amount.'),
`due_date` DATE   OPTIONS (description='Date by which payment is due.'),
`effective_date` DATE   OPTIONS (description='Date on which the contract takes effect.'),
`email` STRING   OPTIONS (description='E-mail address.'),
`form_number` STRING   OPTIONS (description='Number of the form, for example 00123.'),
`governing_law` STRING   OPTIONS (description='Governing law.'),
`handwritten` BOOL   OPTIONS (description='True when the page is written by hand.'),
`headline` STRING   OPTIONS (description='The line under the name.'),
`invoice_date` DATE   OPTIONS (description='Date of issue.'),
`invoice_number` STRING   OPTIONS (description='The supplier\'s invoice number exactly as printed, with leading zeros and separators.'),
`language` STRING   OPTIONS (description='Language in which the contract is written.'),
`late_fee` FLOAT64   OPTIONS (description='Fee for late payment of an earlier invoice.'),
`liability_cap` FLOAT64   OPTIONS (description='Cap of the liability in the currency of the contract.'),
`liability_cap__v_text` STRING  ,
`name` STRING   OPTIONS (description='Full name as written.'),
`notes` STRING   OPTIONS (description='Any other remark on the document, line breaks kept.'),
`page` INT64   OPTIONS (description='Page number as printed.'),
`paid` BOOL   OPTIONS (description='True when the document says that it has been paid already.'),
`payment_terms` STRING   OPTIONS (description='Payment terms as printed, for example \'30 days net, 2% 10 days\'.'),
`phone` STRING   OPTIONS (description='Phone number as written.'),
`police_report` STRING   OPTIONS (description='Number of the police report.'),
`reasoning` STRING   OPTIONS (description='Why the applicant says that they fit the position.'),
`received_at` TIMESTAMP   OPTIONS (description='Time of the received stamp, if there is one.'),
`reference` INT64   OPTIONS (description='Customer reference or purchase order number.'),
`reference__v_text` STRING  ,
`renewal_notice` STRING   OPTIONS (description='Notice period as an ISO 8601 duration.'),
`renewal_term` INT64   OPTIONS (description='Length of a renewal in months.'),
`renewal_term__v_text` STRING  ,
`section` STRING   OPTIONS (description='Heading of the page.'),
`service_period` STRING   OPTIONS (description='Period of service as printed, for example 01.03.2025 - 31.03.2025.'),
`signed_at` TIMESTAMP   OPTIONS (description='Time of the signature.'),
`signed_on` STRING   OPTIONS (description='Date of signature as written.'),
`subtotal` FLOAT64   OPTIONS (description='Sum of the line amounts before taxes and discount.'),
`summary` STRING   OPTIONS (description='Summary of the contract in plain words.'),
`text` STRING   OPTIONS (description='Booking text, line breaks kept.'),
`title` STRING   OPTIONS (description='Title of the contract.'),
`total` FLOAT64   OPTIONS (description='Amount payable including taxes.'),
`total__v_text` STRING  ,
`value_date` STRING   OPTIONS (description='Value date as printed.'),
`vendor__address__city` STRING   OPTIONS (description='City or town.'),
`vendor__address__country` STRING   OPTIONS (description='ISO 3166-1 alpha-2 country code.'),
`vendor__address__postal_code` STRING   OPTIONS (description='Postal code as printed; leading zeros matter.'),
`vendor__address__region` STRING   OPTIONS (description='State, province or canton, when it is printed.'),
`vendor__address__street` STRING   OPTIONS (description='Street and house number, without the city.'),
`vendor__fax` STRING   OPTIONS (description='Fax number.'),
`vendor__name` STRING   OPTIONS (description='Legal name of the company, including its legal form.'),
`vendor__tax_id` STRING   OPTIONS (description='VAT or tax number, as printed.'),
`witness` STRING   OPTIONS (description='Name of a witness.'),
`years_of_experience` FLOAT64   OPTIONS (description='Years of professional experience.'))

CREATE TABLE `project`.`llama_extract`.`extraction_runs__data__availability` (
`_deleted` BOOL  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` INT64  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL)

CREATE TABLE `project`.`llama_extract`.`extraction_runs__data__availability__list` (
`_deleted` BOOL  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` INT64  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`value` STRING  )

CREATE TABLE `project`.`llama_extract`.`extraction_runs__data__checkboxes` (
`_deleted` BOOL  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` INT64  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`value` BOOL  )

CREATE TABLE `project`.`llama_extract`.`extraction_runs__data__clauses` (
`_deleted` BOOL  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` INT64  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`heading` STRING   OPTIONS (description='Heading, when there is one.'),
`is_standard` BOOL   OPTIONS (description='False when the clause departs from our template.'),
`number` STRING   OPTIONS (description='Number as printed, for example 4.2.1.'),
`text` STRING   OPTIONS (description='Full text of the clause.'))

CREATE TABLE `project`.`llama_extract`.`extraction_runs__data__clauses__sub_clauses` (
`_deleted` BOOL  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` INT64  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`is_standard` BOOL   OPTIONS (description='False when the clause departs from our template.'),
`number` STRING   OPTIONS (description='Number as printed, for example 4.2.1.'),
`text` STRING   OPTIONS (description='Full text of the clause.'))

CREATE TABLE `project`.`llama_extract`.`extraction_runs__data__clauses__sub_clauses__sub_clauses` (
`_deleted` BOOL  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` INT64  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`is_standard` BOOL   OPTIONS (description='False when the clause departs from our template.'),
`number` STRING   OPTIONS (description='Number as printed, for example 4.2.1.'),
`text` STRING   OPTIONS (description='Full text of the clause.'))

CREATE TABLE `project`.`llama_extract`.`extraction_runs__data__education` (
`_deleted` BOOL  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` INT64  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`degree` STRING   OPTIONS (description='Degree as written.'),
`grade` STRING   OPTIONS (description='Grade as printed.'),
`school` STRING   OPTIONS (description='Name of the school.'),
`year` INT64   OPTIONS (description='Year of the degree.'))

CREATE TABLE `project`.`llama_extract`.`extraction_runs__data__entries` (
`_deleted` BOOL  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` INT64  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`crossed_out` BOOL   OPTIONS (description='True when the entry was crossed out.'),
`label` STRING   OPTIONS (description='Printed label of the box.'),
`value` STRING   OPTIONS (description='What was filled in.'))

CREATE TABLE `project`.`llama_extract`.`extraction_runs__data__jobs` (
`_deleted` BOOL  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` INT64  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`current` BOOL   OPTIONS (description='True when the position is current.'),
`employer` STRING   OPTIONS (description='Name of the employer.'),
`end` STRING   OPTIONS (description='End as written; null when the position is current.'),
`start` STRING   OPTIONS (description='Start as written, for example 03/2019.'),
`title` STRING   OPTIONS (description='Title of the position.'))

CREATE TABLE `project`.`llama_extract`.`extraction_runs__data__jobs__bullets` (
`_deleted` BOOL  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` INT64  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`text` STRING   OPTIONS (description='The line.'))

CREATE TABLE `project`.`llama_extract`.`extraction_runs__data__jobs__bullets__tools` (
`_deleted` BOOL  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` INT64  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`value` STRING  )

CREATE TABLE `project`.`llama_extract`.`extraction_runs__data__line_items` (
`_deleted` BOOL  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` INT64  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`amount` FLOAT64   OPTIONS (description='Amount of the line before taxes.'),
`description` STRING   OPTIONS (description='Description of the goods or services, line breaks kept.'),
`quantity` FLOAT64   OPTIONS (description='Quantity; 1 when none is printed.'),
`serial_number` STRING   OPTIONS (description='Serial number of the article.'),
`sku` STRING   OPTIONS (description='Article number, as printed; may have leading zeros.'),
`unit_price` FLOAT64   OPTIONS (description='Price of one unit before taxes.'))

CREATE TABLE `project`.`llama_extract`.`extraction_runs__data__line_items__taxes` (
`_deleted` BOOL  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` INT64  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`amount` FLOAT64   OPTIONS (description='Amount of the tax.'),
`name` STRING   OPTIONS (description='Name of the tax, for example VAT or GST.'),
`rate` FLOAT64   OPTIONS (description='Rate in percent.'))

CREATE TABLE `project`.`llama_extract`.`extraction_runs__data__parties` (
`_deleted` BOOL  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` INT64  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`name` STRING   OPTIONS (description='Legal name.'),
`registration_number` STRING   OPTIONS (description='Number in the commercial register.'),
`role` STRING   OPTIONS (description='Role in the contract.'),
`signed` BOOL   OPTIONS (description='Whether there is a signature.'))

CREATE TABLE `project`.`llama_extract`.`extraction_runs__data__parties__signatories` (
`_deleted` BOOL  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` INT64  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`value` STRING  )

CREATE TABLE `project`.`llama_extract`.`extraction_runs__data__publications` (
`_deleted` BOOL  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` INT64  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`value` STRING  )

CREATE TABLE `project`.`llama_extract`.`extraction_runs__data__scores` (
`_deleted` BOOL  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` INT64  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL)

CREATE TABLE `project`.`llama_extract`.`extraction_runs__data__scores__list` (
`_deleted` BOOL  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` INT64  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`value` FLOAT64  )

CREATE TABLE `project`.`llama_extract`.`extraction_runs__data__skills` (
`_deleted` BOOL  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` INT64  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`value` STRING  )

CREATE TABLE `project`.`llama_extract`.`extraction_runs__field_metadata` (
`_deleted` BOOL  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` INT64  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`confidence` FLOAT64  ,
`data_column` STRING  ,
`data_row_id` STRING  ,
`data_table` STRING  ,
`data_value` STRING  ,
`error` STRING  ,
`extraction_confidence` FLOAT64  ,
`field_name` STRING  ,
`field_path` STRING  ,
`parsing_confidence` FLOAT64  ,
`reasoning` STRING  )

CREATE TABLE `project`.`llama_extract`.`extraction_runs__field_metadata__citation` (
`_deleted` BOOL  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` INT64  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`matching_text` STRING  ,
`page` INT64  ,
`page_dimensions__height` FLOAT64  ,
`page_dimensions__width` FLOAT64  )

CREATE TABLE `project`.`llama_extract`.`extraction_runs__field_metadata__citation__bounding_boxes` (
`_deleted` BOOL  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` INT64  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`h` FLOAT64  ,
`w` FLOAT64  ,
`x` FLOAT64  ,
`y` FLOAT64  )

CREATE TABLE `project`.`llama_extract`.`extraction_runs__file` (
`_deleted` BOOL  ,
`_dlt_id` STRING  ,
`_dlt_list_idx` INT64  ,
`_dlt_load_id` STRING  ,
`_dlt_parent_id` STRING  ,
`_run_id` STRING  NOT NULL,
`created_at` TIMESTAMP  ,
`data_source_id` STRING  ,
`expires_at` TIMESTAMP  ,
`external_file_id` STRING  ,
`file_size` INT64  ,
`file_type` STRING  ,
`id` STRING  ,
`last_modified_at` TIMESTAMP  ,
`name` STRING  ,
`permission_info` STRING  ,
`project_id` STRING  ,
`purpose` STRING  ,
`resource_info` STRING  ,
`updated_at` TIMESTAMP  )

CREATE TABLE `project`.`llama_extract`.`extraction_runs__rejected` (
`_dlt_id` STRING  NOT NULL,
`extraction_agent_id` STRING  ,
`position` STRING  ,
`raw` STRING  ,
`reason` STRING  )

CREATE TABLE `project`.`llama_extract`.`extraction_schemas` (
`data_schema` STRING  ,
`hash` STRING  NOT NULL)

DELETE FROM `project`.`llama_extract`.`extraction_runs__file` AS d WHERE EXISTS (SELECT 1 FROM `project`.`llama_extract_staging`.`extraction_runs__file` AS s WHERE d.`_run_id` = s.`_run_id`)
INSERT INTO `project`.`llama_extract`.`extraction_runs__file`(`_run_id`, `_dlt_id`, `_dlt_parent_id`, `_dlt_list_idx`, `_dlt_load_id`, `_deleted`, `id`, `name`, `project_id`, `data_source_id`, `external_file_id`, `file_type`, `purpose`, `created_at`, `updated_at`, `expires_at`, `last_modified_at`, `file_size`, `permission_info`, `resource_info`) SELECT `_run_id`, `_dlt_id`, `_dlt_parent_id`, `_dlt_list_idx`, `_dlt_load_id`, `_deleted`, `id`, `name`, `project_id`, `data_source_id`, `external_file_id`, `file_type`, `purpose`, `created_at`, `updated_at`, `expires_at`, `last_modified_at`, `file_size`, `permission_info`, `resource_info` FROM `project`.`llama_extract_staging`.`extraction_runs__file` WHERE (`_deleted` IS NULL OR `_deleted` = FALSE)

DELETE FROM `project`.`llama_extract`.`extraction_runs` AS d WHERE EXISTS (SELECT 1 FROM `project`.`llama_extract_staging`.`extraction_runs` AS s WHERE d.`id` = s.`id`)
INSERT INTO `project`.`llama_extract`.`extraction_runs`(`id`, `agent_name`, `file_name`, `status`, `extraction_agent_id`, `project_id`, `job_id`, `file_id`, `error`, `created_at`, `updated_at`, `from_ui`, `extraction_metadata__usage__num_pages_extracted`, `extraction_metadata__usage__num_document_tokens`, `extraction_metadata__usage__num_output_tokens`, `data_schema_hash`, `_content_hash`, `_child_rows`, `_dlt_load_id`, `_deleted_at`, `_deleted`, `extraction_metadata__usage__num_reasoning_tokens`)                  SELECT `id`, `agent_name`, `file_name`, `status`, `extraction_agent_id`, `project_id`, `job_id`, `file_id`, `error`, `created_at`, `updated_at`, `from_ui`, `extraction_metadata__usage__num_pages_extracted`, `extraction_metadata__usage__num_document_tokens`, `extraction_metadata__usage__num_output_tokens`, `data_schema_hash`, `_content_hash`, `_child_rows`, `_dlt_load_id`, `_deleted_at`, `_deleted`, `extraction_metadata__usage__num_reasoning_tokens`                     FROM (                         SELECT ROW_NUMBER() OVER (partition BY `id` ORDER BY (SELECT NULL)) AS _dlt_dedup_rn, `id`, `agent_name`, `file_name`, `status`, `extraction_agent_id`, `project_id`, `job_id`, `file_id`, `error`, `created_at`, `updated_at`, `from_ui`, `extraction_metadata__usage__num_pages_extracted`, `extraction_metadata__usage__num_document_tokens`, `extraction_metadata__usage__num_output_tokens`, `data_schema_hash`, `_content_hash`, `_child_rows`, `_dlt_load_id`, `_deleted_at`, `_deleted`, `extraction_metadata__usage__num_reasoning_tokens`                         FROM `project`.`llama_extract_staging`.`extraction_runs`                     ) AS _dlt_dedup_numbered WHERE _dlt_dedup_rn = 1 AND (1 = 1)
