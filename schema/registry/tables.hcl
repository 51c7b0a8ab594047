# The AI-model registry: tables. Functions, triggers and views are in the SQL files beside this one.
#
# Columns are NOT NULL unless they say `null = true`. The two logs, training_records and
# inference_requests, are partitioned by month; their partitions and archive tables are not declared
# here: the daemon makes them.

schema "public" {}

# ---------------------------------------------------------------------------------------------------
# Models and their versions
# ---------------------------------------------------------------------------------------------------

table "ai_models" {
  schema  = schema.public
  comment = "One row per model, whatever its versions."
  column "id" {
    type    = integer
    comment = "Number of the model."
    identity {
      generated = BY_DEFAULT
    }
  }
  column "model_name" {
    type    = varchar(255)
    comment = "Name that people use; unique."
  }
  column "model_type" {
    type    = varchar(50)
    comment = "What it does: embedding, classification, regression, ..."
  }
  column "model_framework" {
    type    = varchar(50)
    null    = true
    comment = "What it was built with: pytorch, tensorflow, huggingface, ..."
  }
  column "description" {
    type    = text
    null    = true
    comment = "What the model is for."
  }
  column "input_dimension" {
    type    = integer
    null    = true
    comment = "Length of the input vector."
  }
  column "output_dimension" {
    type    = integer
    null    = true
    comment = "Length of the output vector, or number of classes."
  }
  column "model_path" {
    type    = text
    null    = true
    comment = "Where the model's files are kept; the file of one version is in model_versions.model_file_path."
  }
  column "config" {
    type    = jsonb
    default = "{}"
    comment = "Configuration common to all versions."
  }
  column "metadata" {
    type    = jsonb
    default = "{}"
    comment = "Anything else worth keeping."
  }
  column "created_at" {
    type    = timestamptz
    default = sql("now()")
    comment = "When the model was registered."
  }
  column "updated_at" {
    type    = timestamptz
    default = sql("now()")
    comment = "When the row last changed; kept by the trigger set_updated_at."
  }
  primary_key {
    columns = [column.id]
  }
  unique "ai_models_model_name_key" {
    columns = [column.model_name]
  }
  # Of two indexes that cost the same the planner takes the younger, so the narrower come after the wider.
  index "idx_ai_models_type_framework" {
    columns = [column.model_type, column.model_framework]
  }
  index "idx_ai_models_type" {
    columns = [column.model_type]
  }
  index "idx_ai_models_framework" {
    columns = [column.model_framework]
  }
  index "idx_ai_models_created_at" {
    on {
      column = column.created_at
      desc   = true
    }
  }
  index "idx_ai_models_config" {
    type    = GIN
    columns = [column.config]
  }
  check "ai_models_dimensions_check" {
    expr = "input_dimension > 0 AND output_dimension > 0"
  }
}

table "model_parameters" {
  schema  = schema.public
  comment = "Named parameters of a model."
  column "id" {
    type    = integer
    comment = "Number of the parameter."
    identity {
      generated = BY_DEFAULT
    }
  }
  column "model_id" {
    type    = integer
    comment = "Model that the parameter belongs to."
  }
  column "parameter_name" {
    type    = varchar(255)
    comment = "Name; unique within the model."
  }
  column "parameter_value" {
    type    = text
    comment = "Value as text, to be read as parameter_type says."
  }
  column "parameter_type" {
    type    = varchar(50)
    null    = true
    comment = "int, float, string or json."
  }
  column "description" {
    type    = text
    null    = true
    comment = "What the parameter does."
  }
  column "created_at" {
    type    = timestamptz
    default = sql("now()")
    comment = "When it was recorded."
  }
  primary_key {
    columns = [column.id]
  }
  foreign_key "model_parameters_model_id_fkey" {
    columns     = [column.model_id]
    ref_columns = [table.ai_models.column.id]
    on_delete   = CASCADE
  }
  unique "model_parameters_model_id_parameter_name_key" {
    columns = [column.model_id, column.parameter_name]
  }
  index "idx_model_parameters_model_id" {
    columns = [column.model_id]
  }
  check "model_parameters_parameter_type_check" {
    expr = "parameter_type IN ('int', 'float', 'string', 'json')"
  }
}

table "model_versions" {
  schema  = schema.public
  comment = "One row per version of a model. At most one is active; once released, its file and configuration never change."
  column "id" {
    type    = integer
    comment = "Number of the version, over all models."
    identity {
      generated = BY_DEFAULT
    }
  }
  column "model_id" {
    type    = integer
    comment = "Model that this is a version of."
  }
  column "version" {
    type    = varchar(50)
    comment = "Semantic version: MAJOR.MINOR.PATCH, such as 1.0.0, v2.1 or 2.0.0-rc.1."
  }
  column "version_type" {
    type    = varchar(20)
    comment = "major: incompatible; minor: new and compatible; patch: a correction; experimental: none of these."
  }
  column "model_file_path" {
    type    = text
    comment = "Where the file is: ROOT/MODEL/X.Y.Z/model.(pkl|onnx|pt), ROOT being /models, s3://BUCKET or gs://BUCKET; model_file_paths narrows it."
  }
  column "checksum" {
    type    = varchar(64)
    null    = true
    comment = "Checksum of the file, SHA-256 in hexadecimal."
  }
  column "training_config" {
    type    = jsonb
    default = "{}"
    comment = "How the version was trained."
  }
  column "performance_metrics" {
    type    = jsonb
    default = "{}"
    comment = "Headline figures, such as {\"accuracy\": 0.91, \"f1_score\": 0.89}."
  }
  column "is_active" {
    type    = boolean
    default = false
    comment = "The one version in use; set it with activate_model_version and roll_back_model_version."
  }
  column "is_production" {
    type    = boolean
    default = false
    comment = "Whether the version serves production."
  }
  column "created_at" {
    type    = timestamptz
    default = sql("now()")
    comment = "When the version was registered; rolling back goes by this."
  }
  column "created_by" {
    type    = varchar(255)
    null    = true
    comment = "Who registered it."
  }
  column "notes" {
    type    = text
    null    = true
    comment = "What is new in it."
  }
  column "released_at" {
    type    = timestamptz
    null    = true
    comment = "When the version was first active or in production; set by a trigger. From then on its file and configuration are fixed."
  }
  primary_key {
    columns = [column.id]
  }
  foreign_key "model_versions_model_id_fkey" {
    columns     = [column.model_id]
    ref_columns = [table.ai_models.column.id]
    on_delete   = CASCADE
  }
  unique "model_versions_model_id_version_key" {
    columns = [column.model_id, column.version]
  }
  index "idx_model_versions_model_id" {
    columns = [column.model_id]
  }
  index "idx_model_versions_active_production" {
    on {
      column = column.model_id
    }
    on {
      column = column.created_at
      desc   = true
    }
    where = "is_active OR is_production"
  }
  # Unique: two active versions of one model are impossible.
  index "idx_model_versions_active" {
    unique  = true
    columns = [column.model_id]
    where   = "is_active"
  }
  index "idx_model_versions_production" {
    columns = [column.model_id, column.is_production]
    where   = "is_production"
  }
  index "idx_model_versions_metrics" {
    type    = GIN
    columns = [column.performance_metrics]
  }
  check "model_versions_version_check" {
    expr = "version ~ '^v?[0-9]+(\\.[0-9]+){0,2}(-[0-9A-Za-z.-]+)?(\\+[0-9A-Za-z.-]+)?$'"
  }
  check "model_versions_version_type_check" {
    expr = "version_type IN ('major', 'minor', 'patch', 'experimental')"
  }
  check "check_model_path" {
    expr = "public.validate_model_path(model_file_path)"
  }
}

table "model_version_tags" {
  schema  = schema.public
  comment = "Tags that mark versions worth finding again, such as production or experimental."
  column "model_version_id" {
    type    = integer
    comment = "Version that bears the tag."
  }
  column "tag_name" {
    type    = varchar(100)
    comment = "The tag: lower case letters, digits, dot, dash and underscore."
  }
  column "created_at" {
    type    = timestamptz
    default = sql("now()")
    comment = "When it was tagged."
  }
  column "created_by" {
    type    = varchar(255)
    null    = true
    comment = "Who tagged it."
  }
  primary_key {
    columns = [column.model_version_id, column.tag_name]
  }
  foreign_key "model_version_tags_model_version_id_fkey" {
    columns     = [column.model_version_id]
    ref_columns = [table.model_versions.column.id]
    on_delete   = CASCADE
  }
  index "idx_model_version_tags_tag_name" {
    columns = [column.tag_name]
  }
  check "model_version_tags_tag_name_check" {
    expr = "tag_name ~ '^[a-z0-9][a-z0-9._-]*$'"
  }
}

table "model_file_paths" {
  schema  = schema.public
  comment = "Which paths model files may have, per storage. A storage without a row takes every well-formed path; one with rows, only what an active pattern matches."
  column "id" {
    type    = integer
    comment = "Number of the rule."
    identity {
      generated = BY_DEFAULT
    }
  }
  column "path_pattern" {
    type    = varchar(500)
    comment = "Regular expression that a path must match, such as ^s3://prod-models/."
  }
  column "storage_type" {
    type    = varchar(50)
    comment = "local, s3 or gcs."
  }
  column "is_active" {
    type    = boolean
    default = true
    comment = "Whether the pattern counts. When all patterns of a storage are inactive, it is closed to new files."
  }
  column "created_at" {
    type    = timestamptz
    default = sql("now()")
    comment = "When the rule was made."
  }
  primary_key {
    columns = [column.id]
  }
  unique "model_file_paths_storage_type_path_pattern_key" {
    columns = [column.storage_type, column.path_pattern]
  }
  check "model_file_paths_storage_type_check" {
    expr = "storage_type IN ('local', 's3', 'gcs')"
  }
  # Matching anything with the pattern fails here, and not at the next new version, when it is no regular expression.
  check "model_file_paths_path_pattern_check" {
    expr = "('' ~ path_pattern) IS NOT NULL"
  }
}

# ---------------------------------------------------------------------------------------------------
# Datasets: versions, origin, quality
# ---------------------------------------------------------------------------------------------------

table "training_datasets" {
  schema  = schema.public
  comment = "Datasets that models are trained and evaluated on; sizes are those of the newest version."
  column "id" {
    type    = integer
    comment = "Number of the dataset."
    identity {
      generated = BY_DEFAULT
    }
  }
  column "dataset_name" {
    type    = varchar(255)
    comment = "Name; unique."
  }
  column "dataset_type" {
    type    = varchar(50)
    comment = "What it holds: text, image, tabular, ..."
  }
  column "description" {
    type    = text
    null    = true
    comment = "What the data is about."
  }
  column "data_path" {
    type    = text
    null    = true
    comment = "Where the data is."
  }
  column "total_samples" {
    type    = integer
    null    = true
    comment = "Number of samples in all."
  }
  column "train_samples" {
    type    = integer
    null    = true
    comment = "Samples of the training split."
  }
  column "validation_samples" {
    type    = integer
    null    = true
    comment = "Samples of the validation split."
  }
  column "test_samples" {
    type    = integer
    null    = true
    comment = "Samples of the test split."
  }
  column "metadata" {
    type    = jsonb
    default = "{}"
    comment = "Anything else worth keeping."
  }
  column "created_at" {
    type    = timestamptz
    default = sql("now()")
    comment = "When the dataset was registered."
  }
  primary_key {
    columns = [column.id]
  }
  unique "training_datasets_dataset_name_key" {
    columns = [column.dataset_name]
  }
  index "idx_training_datasets_type" {
    columns = [column.dataset_type]
  }
  check "training_datasets_samples_check" {
    expr = "total_samples >= 0 AND train_samples >= 0 AND validation_samples >= 0 AND test_samples >= 0"
  }
  # A split that is not recorded counts as empty; a total that is not recorded limits nothing.
  check "training_datasets_splits_check" {
    expr = "COALESCE(train_samples, 0)::bigint + COALESCE(validation_samples, 0) + COALESCE(test_samples, 0) <= total_samples"
  }
}

table "dataset_versions" {
  schema  = schema.public
  comment = "States of a dataset that models were trained on, with their splits."
  column "id" {
    type    = integer
    comment = "Number of the dataset version, over all datasets."
    identity {
      generated = BY_DEFAULT
    }
  }
  column "dataset_id" {
    type    = integer
    comment = "Dataset that this is a version of."
  }
  column "version" {
    type    = varchar(50)
    comment = "Version; unique within the dataset."
  }
  column "data_path" {
    type    = text
    comment = "Where the data of this version is."
  }
  column "checksum" {
    type    = varchar(64)
    null    = true
    comment = "Checksum of the data, SHA-256 in hexadecimal."
  }
  column "total_samples" {
    type    = integer
    comment = "Number of samples in all."
  }
  column "train_samples" {
    type    = integer
    default = 0
    comment = "Samples of the training split."
  }
  column "validation_samples" {
    type    = integer
    default = 0
    comment = "Samples of the validation split."
  }
  column "test_samples" {
    type    = integer
    default = 0
    comment = "Samples of the test split."
  }
  column "created_at" {
    type    = timestamptz
    default = sql("now()")
    comment = "When the version was made."
  }
  column "created_by" {
    type    = varchar(255)
    null    = true
    comment = "Who made it."
  }
  column "notes" {
    type    = text
    null    = true
    comment = "What changed since the version before."
  }
  primary_key {
    columns = [column.id]
  }
  foreign_key "dataset_versions_dataset_id_fkey" {
    columns     = [column.dataset_id]
    ref_columns = [table.training_datasets.column.id]
    on_delete   = CASCADE
  }
  unique "dataset_versions_dataset_id_version_key" {
    columns = [column.dataset_id, column.version]
  }
  # The target of training_runs' key, by which a run's version belongs to the run's dataset.
  unique "dataset_versions_id_dataset_id_key" {
    columns = [column.id, column.dataset_id]
  }
  check "dataset_versions_samples_check" {
    expr = "total_samples >= 0 AND train_samples >= 0 AND validation_samples >= 0 AND test_samples >= 0"
  }
  check "dataset_versions_splits_check" {
    expr = "train_samples::bigint + validation_samples + test_samples <= total_samples"
  }
}

table "dataset_lineage" {
  schema  = schema.public
  comment = "Where a dataset version came from and what was done to it, step by step. Each step reads one source: another dataset version or something outside."
  column "dataset_version_id" {
    type    = integer
    comment = "Dataset version that the step helped to make."
  }
  column "step_number" {
    type    = integer
    comment = "Place of the step, from 1."
  }
  column "source_dataset_version_id" {
    type    = integer
    null    = true
    comment = "Dataset version that was read."
  }
  column "source_uri" {
    type    = text
    null    = true
    comment = "Source outside the registry that was read."
  }
  column "processing_step" {
    type    = varchar(100)
    comment = "What was done: import, filter, deduplicate, label, split, ..."
  }
  column "processing_config" {
    type    = jsonb
    default = "{}"
    comment = "How it was done."
  }
  column "processed_at" {
    type    = timestamptz
    default = sql("now()")
    comment = "When it was done."
  }
  column "created_by" {
    type    = varchar(255)
    null    = true
    comment = "Who did it."
  }
  primary_key {
    columns = [column.dataset_version_id, column.step_number]
  }
  foreign_key "dataset_lineage_dataset_version_id_fkey" {
    columns     = [column.dataset_version_id]
    ref_columns = [table.dataset_versions.column.id]
    on_delete   = CASCADE
  }
  # No action: a version that another one was made from cannot be deleted.
  foreign_key "dataset_lineage_source_dataset_version_id_fkey" {
    columns     = [column.source_dataset_version_id]
    ref_columns = [table.dataset_versions.column.id]
  }
  index "idx_dataset_lineage_source" {
    columns = [column.source_dataset_version_id]
  }
  check "dataset_lineage_step_number_check" {
    expr = "step_number > 0"
  }
  check "dataset_lineage_source_check" {
    expr = "num_nonnulls(source_dataset_version_id, source_uri) = 1 AND source_dataset_version_id IS DISTINCT FROM dataset_version_id"
  }
}

table "dataset_quality_metrics" {
  schema  = schema.public
  comment = "Measured quality of dataset versions: completeness, duplicate rate, label agreement, ..."
  column "dataset_version_id" {
    type    = integer
    comment = "Dataset version that was measured."
  }
  column "metric_name" {
    type    = varchar(100)
    comment = "What was measured."
  }
  column "measured_at" {
    type    = timestamptz
    default = sql("now()")
    comment = "When it was measured."
  }
  column "metric_value" {
    type    = double_precision
    comment = "The figure."
  }
  column "details" {
    type    = jsonb
    default = "{}"
    comment = "How it was measured, on which columns."
  }
  primary_key {
    columns = [column.dataset_version_id, column.metric_name, column.measured_at]
  }
  foreign_key "dataset_quality_metrics_dataset_version_id_fkey" {
    columns     = [column.dataset_version_id]
    ref_columns = [table.dataset_versions.column.id]
    on_delete   = CASCADE
  }
  check "dataset_quality_metrics_metric_value_check" {
    expr = "metric_value > '-Infinity' AND metric_value < 'Infinity'"
  }
}

# ---------------------------------------------------------------------------------------------------
# Training
# ---------------------------------------------------------------------------------------------------

table "training_runs" {
  schema  = schema.public
  comment = "Runs of training: one model version on one dataset."
  column "id" {
    type    = integer
    comment = "Number of the run."
    identity {
      generated = BY_DEFAULT
    }
  }
  column "model_version_id" {
    type    = integer
    comment = "Version that was trained."
  }
  column "dataset_id" {
    type    = integer
    comment = "Dataset that it was trained on."
  }
  column "run_name" {
    type    = varchar(255)
    null    = true
    comment = "Name for people."
  }
  column "status" {
    type    = varchar(20)
    comment = "pending, running, completed, failed or cancelled."
  }
  column "started_at" {
    type    = timestamptz
    null    = true
    comment = "When the run began."
  }
  column "completed_at" {
    type    = timestamptz
    null    = true
    comment = "When it ended, well or not."
  }
  # PostgreSQL 18 has no index on a virtual column; idx_training_runs_duration is on the same expression, and a query on duration uses it.
  column "duration" {
    type    = interval
    null    = true
    comment = "completed_at - started_at, computed when read."
    as {
      expr = "completed_at - started_at"
      type = VIRTUAL
    }
  }
  column "training_config" {
    type    = jsonb
    default = "{}"
    comment = "Configuration of the run."
  }
  column "hyperparameters" {
    type    = jsonb
    default = "{}"
    comment = "Learning rate, batch size, ..."
  }
  column "training_loss" {
    type    = jsonb
    default = "[]"
    comment = "Training loss, one number an epoch."
  }
  column "validation_loss" {
    type    = jsonb
    default = "[]"
    comment = "Validation loss, one number an epoch."
  }
  column "metrics" {
    type    = jsonb
    default = "{}"
    comment = "Figures at the end of the run."
  }
  column "error_message" {
    type    = text
    null    = true
    comment = "Why it failed."
  }
  column "created_at" {
    type    = timestamptz
    default = sql("now()")
    comment = "When the run was asked for."
  }
  column "created_by" {
    type    = varchar(255)
    null    = true
    comment = "Who asked for it."
  }
  column "dataset_version_id" {
    type    = integer
    null    = true
    comment = "State of the dataset that was read, if known; one of dataset_id's versions."
  }
  primary_key {
    columns = [column.id]
  }
  foreign_key "training_runs_model_version_id_fkey" {
    columns     = [column.model_version_id]
    ref_columns = [table.model_versions.column.id]
    on_delete   = CASCADE
  }
  foreign_key "training_runs_dataset_id_fkey" {
    columns     = [column.dataset_id]
    ref_columns = [table.training_datasets.column.id]
  }
  foreign_key "training_runs_dataset_version_id_fkey" {
    columns     = [column.dataset_version_id, column.dataset_id]
    ref_columns = [table.dataset_versions.column.id, table.dataset_versions.column.dataset_id]
  }
  index "idx_training_runs_model_version" {
    columns = [column.model_version_id]
  }
  index "idx_training_runs_status" {
    columns = [column.status]
  }
  index "idx_training_runs_started_at" {
    on {
      column = column.started_at
      desc   = true
    }
  }
  index "idx_training_runs_duration" {
    on {
      expr = "(completed_at - started_at)"
    }
    where = "completed_at IS NOT NULL"
  }
  index "idx_training_runs_dataset" {
    columns = [column.dataset_id]
  }
  index "idx_training_runs_dataset_version" {
    columns = [column.dataset_version_id]
  }
  check "training_runs_status_check" {
    expr = "status IN ('pending', 'running', 'completed', 'failed', 'cancelled')"
  }
  check "training_runs_completed_at_check" {
    expr = "completed_at >= started_at"
  }
}

table "training_records" {
  schema  = schema.public
  comment = "What training reports, one row an epoch; partitioned by month. No foreign key: records outlive the version that they are about."
  column "id" {
    type    = bigint
    comment = "Number of the record."
    identity {
      generated = BY_DEFAULT
    }
  }
  column "model_version_id" {
    type    = integer
    comment = "Version that was being trained."
  }
  column "epoch" {
    type    = integer
    comment = "Epoch, from 1."
  }
  column "loss" {
    type    = double_precision
    null    = true
    comment = "Loss at the end of the epoch; NaN when training diverged."
  }
  column "metrics" {
    type    = jsonb
    null    = true
    comment = "Other figures of the epoch."
  }
  column "created_at" {
    type    = timestamptz
    default = sql("now()")
    comment = "When the epoch ended; decides the partition."
  }
  primary_key {
    columns = [column.id, column.created_at]
  }
  index "idx_training_records_model_version" {
    on {
      column = column.model_version_id
    }
    on {
      column = column.created_at
      desc   = true
    }
  }
  partition {
    type    = RANGE
    columns = [column.created_at]
  }
}

# ---------------------------------------------------------------------------------------------------
# Evaluation
# ---------------------------------------------------------------------------------------------------

table "evaluation_schedules" {
  schema  = schema.public
  comment = "Which metrics of a model are to be measured how often; evaluation_schedule_status tells what is overdue."
  column "id" {
    type    = integer
    comment = "Number of the schedule."
    identity {
      generated = BY_DEFAULT
    }
  }
  column "model_id" {
    type    = integer
    comment = "Model whose active version is to be evaluated."
  }
  column "evaluation_dataset_id" {
    type    = integer
    comment = "Dataset to evaluate on."
  }
  column "evaluation_type" {
    type    = varchar(50)
    comment = "Kind of evaluation, as in model_evaluations."
  }
  column "metric_name" {
    type    = varchar(100)
    comment = "Metric to measure."
  }
  column "evaluation_interval" {
    type    = interval
    comment = "Longest time between two evaluations."
  }
  column "is_active" {
    type    = boolean
    default = true
    comment = "Whether the schedule is kept."
  }
  column "created_at" {
    type    = timestamptz
    default = sql("now()")
    comment = "When the schedule was made; the first evaluation is due one interval later."
  }
  column "created_by" {
    type    = varchar(255)
    null    = true
    comment = "Who made it."
  }
  primary_key {
    columns = [column.id]
  }
  foreign_key "evaluation_schedules_model_id_fkey" {
    columns     = [column.model_id]
    ref_columns = [table.ai_models.column.id]
    on_delete   = CASCADE
  }
  foreign_key "evaluation_schedules_evaluation_dataset_id_fkey" {
    columns     = [column.evaluation_dataset_id]
    ref_columns = [table.training_datasets.column.id]
  }
  unique "evaluation_schedules_model_id_dataset_id_metric_name_key" {
    columns = [column.model_id, column.evaluation_dataset_id, column.metric_name]
  }
  index "idx_evaluation_schedules_dataset" {
    columns = [column.evaluation_dataset_id]
  }
  check "evaluation_schedules_evaluation_interval_check" {
    expr = "evaluation_interval > '0'::interval"
  }
}

table "model_evaluations" {
  schema  = schema.public
  comment = "Measured metrics of model versions."
  column "id" {
    type    = integer
    comment = "Number of the evaluation."
    identity {
      generated = BY_DEFAULT
    }
  }
  column "model_version_id" {
    type    = integer
    comment = "Version that was evaluated."
  }
  column "evaluation_dataset_id" {
    type    = integer
    null    = true
    comment = "Dataset that it was evaluated on."
  }
  column "evaluation_type" {
    type    = varchar(50)
    comment = "Kind of evaluation: accuracy, f1, precision, recall, mse, ..."
  }
  column "metric_name" {
    type    = varchar(100)
    comment = "Metric that was measured."
  }
  # Not NUMERIC(10,6): a mean squared error has no upper bound.
  column "metric_value" {
    type    = double_precision
    comment = "The figure, in the metric's own unit; finite."
  }
  column "evaluation_config" {
    type    = jsonb
    default = "{}"
    comment = "How it was measured."
  }
  column "evaluated_at" {
    type    = timestamptz
    default = sql("now()")
    comment = "When it was measured."
  }
  column "notes" {
    type    = text
    null    = true
    comment = "Anything odd about it."
  }
  column "schedule_id" {
    type    = integer
    null    = true
    comment = "Schedule that asked for it, if one did."
  }
  primary_key {
    columns = [column.id]
  }
  foreign_key "model_evaluations_model_version_id_fkey" {
    columns     = [column.model_version_id]
    ref_columns = [table.model_versions.column.id]
    on_delete   = CASCADE
  }
  foreign_key "model_evaluations_evaluation_dataset_id_fkey" {
    columns     = [column.evaluation_dataset_id]
    ref_columns = [table.training_datasets.column.id]
  }
  foreign_key "model_evaluations_schedule_id_fkey" {
    columns     = [column.schedule_id]
    ref_columns = [table.evaluation_schedules.column.id]
    on_delete   = SET_NULL
  }
  index "idx_model_evaluations_model_version" {
    columns = [column.model_version_id]
  }
  index "idx_model_evaluations_type" {
    columns = [column.evaluation_type]
  }
  index "idx_model_evaluations_evaluated_at" {
    on {
      column = column.evaluated_at
      desc   = true
    }
  }
  index "idx_model_evaluations_dataset" {
    columns = [column.evaluation_dataset_id]
  }
  index "idx_model_evaluations_schedule" {
    columns = [column.schedule_id]
  }
  check "model_evaluations_metric_value_check" {
    expr = "metric_value > '-Infinity' AND metric_value < 'Infinity'"
  }
}

# ---------------------------------------------------------------------------------------------------
# Deployment
# ---------------------------------------------------------------------------------------------------

table "deployment_environments" {
  schema  = schema.public
  comment = "Where models are deployed."
  column "id" {
    type    = integer
    comment = "Number of the environment."
    identity {
      generated = BY_DEFAULT
    }
  }
  column "environment_name" {
    type    = varchar(100)
    comment = "Name; unique."
  }
  column "environment_type" {
    type    = varchar(50)
    comment = "development, staging or production."
  }
  column "endpoint_url" {
    type    = text
    null    = true
    comment = "Where requests go."
  }
  # Not the key itself: whoever may read the registry, its backups or its replicas must not learn it.
  column "api_key_ref" {
    type    = varchar(255)
    null    = true
    comment = "Reference to the API key in a secret store, such as vault://models/prod#api_key or env://PROD_API_KEY; never the key."
  }
  column "config" {
    type    = jsonb
    default = "{}"
    comment = "Configuration of the environment."
  }
  column "is_active" {
    type    = boolean
    default = true
    comment = "Whether it takes deployments."
  }
  column "created_at" {
    type    = timestamptz
    default = sql("now()")
    comment = "When the environment was registered."
  }
  column "updated_at" {
    type    = timestamptz
    default = sql("now()")
    comment = "When the row last changed; kept by the trigger set_updated_at."
  }
  primary_key {
    columns = [column.id]
  }
  unique "deployment_environments_environment_name_key" {
    columns = [column.environment_name]
  }
  check "deployment_environments_environment_type_check" {
    expr = "environment_type IN ('development', 'staging', 'production')"
  }
  check "deployment_environments_api_key_ref_check" {
    expr = "api_key_ref ~ '^[a-z][a-z0-9+.-]*://[^[:space:]]+$'"
  }
}

table "model_deployments" {
  schema  = schema.public
  comment = "Deployments of model versions; request_count, error_count and avg_response_time are filled by roll_up_deployments."
  column "id" {
    type    = integer
    comment = "Number of the deployment."
    identity {
      generated = BY_DEFAULT
    }
  }
  column "model_version_id" {
    type    = integer
    comment = "Version that is deployed."
  }
  column "environment_id" {
    type    = integer
    comment = "Environment that it is deployed in."
  }
  column "deployment_status" {
    type    = varchar(20)
    comment = "pending, deploying, active, inactive or failed."
  }
  column "deployed_at" {
    type    = timestamptz
    null    = true
    comment = "When it began to serve."
  }
  column "undeployed_at" {
    type    = timestamptz
    null    = true
    comment = "When it ceased to."
  }
  column "deployment_config" {
    type    = jsonb
    default = "{}"
    comment = "Replicas, memory, ..."
  }
  column "health_check_url" {
    type    = text
    null    = true
    comment = "Where its health is asked for."
  }
  column "last_health_check" {
    type    = timestamptz
    null    = true
    comment = "When it was last asked."
  }
  column "health_status" {
    type    = varchar(20)
    null    = true
    comment = "healthy, unhealthy or unknown."
  }
  column "request_count" {
    type    = bigint
    default = 0
    comment = "Requests served since the deployment began, archived ones included."
  }
  column "error_count" {
    type    = bigint
    default = 0
    comment = "Of these, how many did not succeed: status error or timeout."
  }
  column "avg_response_time" {
    type    = numeric(13,3)
    null    = true
    comment = "Mean processing time of these, in milliseconds; NULL while none was timed."
  }
  column "created_at" {
    type    = timestamptz
    default = sql("now()")
    comment = "When the deployment was asked for."
  }
  column "created_by" {
    type    = varchar(255)
    null    = true
    comment = "Who asked for it."
  }
  primary_key {
    columns = [column.id]
  }
  foreign_key "model_deployments_model_version_id_fkey" {
    columns     = [column.model_version_id]
    ref_columns = [table.model_versions.column.id]
    on_delete   = CASCADE
  }
  foreign_key "model_deployments_environment_id_fkey" {
    columns     = [column.environment_id]
    ref_columns = [table.deployment_environments.column.id]
  }
  index "idx_model_deployments_model_version" {
    columns = [column.model_version_id]
  }
  index "idx_model_deployments_environment" {
    columns = [column.environment_id]
  }
  index "idx_model_deployments_status" {
    columns = [column.deployment_status]
  }
  index "idx_model_deployments_active" {
    columns = [column.model_version_id, column.deployment_status]
    where   = "deployment_status = 'active'"
  }
  check "model_deployments_deployment_status_check" {
    expr = "deployment_status IN ('pending', 'deploying', 'active', 'inactive', 'failed')"
  }
  check "model_deployments_health_status_check" {
    expr = "health_status IN ('healthy', 'unhealthy', 'unknown')"
  }
  check "model_deployments_undeployed_at_check" {
    expr = "undeployed_at >= deployed_at"
  }
}

table "inference_requests" {
  schema  = schema.public
  comment = "One row per request to a deployment; partitioned by month."
  # Always generated, so that numbers grow with the log: roll_up_deployments finds new rows by them.
  column "id" {
    type    = bigint
    comment = "Number of the request, in the order of logging."
    identity {
      generated = ALWAYS
    }
  }
  column "deployment_id" {
    type    = integer
    comment = "Deployment that served it."
  }
  # A unique constraint on a partitioned table must include the partition key.
  column "request_id" {
    type    = varchar(255)
    null    = true
    comment = "The caller's name for the request; unique per created_at, not over all time."
  }
  column "input_data" {
    type    = jsonb
    null    = true
    comment = "What was asked."
  }
  column "output_data" {
    type    = jsonb
    null    = true
    comment = "What was answered."
  }
  column "processing_time_ms" {
    type    = integer
    null    = true
    comment = "How long it took, in milliseconds."
  }
  column "status" {
    type    = varchar(20)
    comment = "success, error or timeout."
  }
  column "error_message" {
    type    = text
    null    = true
    comment = "What went wrong."
  }
  column "created_at" {
    type    = timestamptz
    default = sql("now()")
    comment = "When the request was served; decides the partition."
  }
  primary_key {
    columns = [column.id, column.created_at]
  }
  foreign_key "inference_requests_deployment_id_fkey" {
    columns     = [column.deployment_id]
    ref_columns = [table.model_deployments.column.id]
  }
  unique "inference_requests_request_id_created_at_key" {
    columns = [column.request_id, column.created_at]
  }
  index "idx_inference_requests_deployment" {
    on {
      column = column.deployment_id
    }
    on {
      column = column.created_at
      desc   = true
    }
  }
  index "idx_inference_requests_status" {
    on {
      column = column.status
    }
    on {
      column = column.created_at
      desc   = true
    }
  }
  index "idx_inference_requests_request_id" {
    columns = [column.request_id]
  }
  check "inference_requests_status_check" {
    expr = "status IN ('success', 'error', 'timeout')"
  }
  check "inference_requests_processing_time_ms_check" {
    expr = "processing_time_ms >= 0"
  }
  partition {
    type    = RANGE
    columns = [column.created_at]
  }
}

table "deployment_request_stats" {
  schema  = schema.public
  comment = "Requests of a deployment by the hour, counted by roll_up_deployments; kept when the requests are archived."
  column "deployment_id" {
    type    = integer
    comment = "Deployment that served them."
  }
  column "period_start" {
    type    = timestamptz
    comment = "Beginning of the hour, in UTC."
  }
  column "request_count" {
    type    = bigint
    comment = "Requests in all."
  }
  column "error_count" {
    type    = bigint
    comment = "Of these, with status error."
  }
  column "timeout_count" {
    type    = bigint
    comment = "Of these, with status timeout."
  }
  column "timed_count" {
    type    = bigint
    comment = "Of these, with a processing time."
  }
  column "total_time_ms" {
    type    = bigint
    comment = "Sum of the processing times, in milliseconds."
  }
  primary_key {
    columns = [column.deployment_id, column.period_start]
  }
  foreign_key "deployment_request_stats_deployment_id_fkey" {
    columns     = [column.deployment_id]
    ref_columns = [table.model_deployments.column.id]
    on_delete   = CASCADE
  }
  check "deployment_request_stats_counts_check" {
    expr = "error_count >= 0 AND timeout_count >= 0 AND timed_count >= 0 AND error_count + timeout_count <= request_count AND timed_count <= request_count"
  }
}

table "deployment_roll_up_state" {
  schema  = schema.public
  comment = "How far roll_up_deployments has counted; one row, written by it alone."
  column "singleton" {
    type    = boolean
    default = true
    comment = "Always true: there is one row."
  }
  column "counted_id" {
    type    = bigint
    default = 0
    comment = "Every request up to this id is counted for certain."
  }
  column "pending_id" {
    type    = bigint
    null    = true
    comment = "Every request up to this id is counted, but for those of transactions that were open then."
  }
  column "pending_xmax" {
    type    = xid8
    null    = true
    comment = "When all transactions before this one have ended, pending_id becomes counted_id."
  }
  column "pending_at" {
    type    = timestamptz
    null    = true
    comment = "When pending_id was noted."
  }
  primary_key {
    columns = [column.singleton]
  }
  check "deployment_roll_up_state_singleton_check" {
    expr = "singleton"
  }
}

# ---------------------------------------------------------------------------------------------------
# Monitoring: anomalies, A/B tests
# ---------------------------------------------------------------------------------------------------

table "anomaly_rules" {
  schema  = schema.public
  comment = "What counts as an anomaly of inference requests; applied by detect_inference_anomalies."
  column "id" {
    type    = integer
    comment = "Number of the rule."
    identity {
      generated = BY_DEFAULT
    }
  }
  column "rule_name" {
    type    = varchar(100)
    comment = "Name; unique."
  }
  column "deployment_id" {
    type    = integer
    null    = true
    comment = "Deployment that the rule watches; NULL: every one that serves."
  }
  column "metric_name" {
    type    = varchar(50)
    comment = "error_rate and timeout_rate (0 to 1), avg_response_time (ms) or request_rate (per minute)."
  }
  column "comparison" {
    type    = varchar(10)
    comment = "above or below: on which side of the limit the anomaly lies."
  }
  column "threshold" {
    type    = double_precision
    comment = "The limit; with a baseline, a multiple of the baseline's value."
  }
  column "window_length" {
    type    = interval
    comment = "Span that is looked at, by whole windows in UTC."
  }
  column "baseline_length" {
    type    = interval
    null    = true
    comment = "Span before the window that it is compared with; NULL: the threshold is the limit itself."
  }
  column "min_requests" {
    type    = integer
    default = 20
    comment = "Fewer requests prove nothing."
  }
  column "severity" {
    type    = varchar(20)
    default = "warning"
    comment = "warning or critical."
  }
  column "is_active" {
    type    = boolean
    default = true
    comment = "Whether the rule is applied."
  }
  column "created_at" {
    type    = timestamptz
    default = sql("now()")
    comment = "When the rule was made."
  }
  primary_key {
    columns = [column.id]
  }
  foreign_key "anomaly_rules_deployment_id_fkey" {
    columns     = [column.deployment_id]
    ref_columns = [table.model_deployments.column.id]
    on_delete   = CASCADE
  }
  unique "anomaly_rules_rule_name_key" {
    columns = [column.rule_name]
  }
  index "idx_anomaly_rules_deployment" {
    columns = [column.deployment_id]
  }
  check "anomaly_rules_metric_name_check" {
    expr = "metric_name IN ('error_rate', 'timeout_rate', 'avg_response_time', 'request_rate')"
  }
  check "anomaly_rules_comparison_check" {
    expr = "comparison IN ('above', 'below')"
  }
  check "anomaly_rules_threshold_check" {
    expr = "threshold >= 0 AND threshold < 'Infinity'"
  }
  # Windows are cut by date_bin, which takes no months.
  check "anomaly_rules_window_length_check" {
    expr = "window_length >= '1 minute'::interval AND extract(year FROM window_length) = 0 AND extract(month FROM window_length) = 0"
  }
  check "anomaly_rules_baseline_length_check" {
    expr = "baseline_length >= window_length"
  }
  check "anomaly_rules_min_requests_check" {
    expr = "min_requests > 0"
  }
  check "anomaly_rules_severity_check" {
    expr = "severity IN ('warning', 'critical')"
  }
}

table "inference_anomalies" {
  schema  = schema.public
  comment = "Anomalies of inference requests that were found."
  column "id" {
    type    = bigint
    comment = "Number of the anomaly."
    identity {
      generated = BY_DEFAULT
    }
  }
  column "rule_id" {
    type    = integer
    comment = "Rule that found it."
  }
  column "deployment_id" {
    type    = integer
    comment = "Deployment that behaved so."
  }
  column "window_start" {
    type    = timestamptz
    comment = "Beginning of the window."
  }
  column "window_end" {
    type    = timestamptz
    comment = "End of the window, not included."
  }
  column "observed_value" {
    type    = double_precision
    comment = "The metric within the window."
  }
  column "limit_value" {
    type    = double_precision
    comment = "The limit that it broke."
  }
  column "request_count" {
    type    = bigint
    comment = "Requests within the window."
  }
  column "detected_at" {
    type    = timestamptz
    default = sql("now()")
    comment = "When it was first found."
  }
  column "resolved_at" {
    type    = timestamptz
    null    = true
    comment = "When somebody called it settled."
  }
  column "notes" {
    type    = text
    null    = true
    comment = "What was found out about it."
  }
  primary_key {
    columns = [column.id]
  }
  foreign_key "inference_anomalies_rule_id_fkey" {
    columns     = [column.rule_id]
    ref_columns = [table.anomaly_rules.column.id]
    on_delete   = CASCADE
  }
  foreign_key "inference_anomalies_deployment_id_fkey" {
    columns     = [column.deployment_id]
    ref_columns = [table.model_deployments.column.id]
    on_delete   = CASCADE
  }
  unique "inference_anomalies_rule_id_deployment_id_window_start_key" {
    columns = [column.rule_id, column.deployment_id, column.window_start]
  }
  index "idx_inference_anomalies_deployment" {
    on {
      column = column.deployment_id
    }
    on {
      column = column.window_start
      desc   = true
    }
  }
  index "idx_inference_anomalies_open" {
    on {
      column = column.window_start
      desc   = true
    }
    where = "resolved_at IS NULL"
  }
  check "inference_anomalies_window_end_check" {
    expr = "window_end > window_start"
  }
}

table "ab_tests" {
  schema  = schema.public
  comment = "A/B tests: deployments of one model that share an environment's requests; ab_test_results compares them."
  column "id" {
    type    = integer
    comment = "Number of the test."
    identity {
      generated = BY_DEFAULT
    }
  }
  column "test_name" {
    type    = varchar(255)
    comment = "Name; unique."
  }
  column "model_id" {
    type    = integer
    comment = "Model whose versions are compared."
  }
  column "environment_id" {
    type    = integer
    comment = "Environment that the test runs in."
  }
  column "primary_metric" {
    type    = varchar(100)
    comment = "Metric that decides."
  }
  column "status" {
    type    = varchar(20)
    default = "draft"
    comment = "draft, running, completed or cancelled."
  }
  column "started_at" {
    type    = timestamptz
    null    = true
    comment = "When it began."
  }
  column "ended_at" {
    type    = timestamptz
    null    = true
    comment = "When it ended."
  }
  column "created_at" {
    type    = timestamptz
    default = sql("now()")
    comment = "When it was planned."
  }
  column "created_by" {
    type    = varchar(255)
    null    = true
    comment = "Who planned it."
  }
  column "notes" {
    type    = text
    null    = true
    comment = "What is expected, and what was learned."
  }
  primary_key {
    columns = [column.id]
  }
  foreign_key "ab_tests_model_id_fkey" {
    columns     = [column.model_id]
    ref_columns = [table.ai_models.column.id]
    on_delete   = CASCADE
  }
  foreign_key "ab_tests_environment_id_fkey" {
    columns     = [column.environment_id]
    ref_columns = [table.deployment_environments.column.id]
  }
  unique "ab_tests_test_name_key" {
    columns = [column.test_name]
  }
  index "idx_ab_tests_model" {
    columns = [column.model_id]
  }
  index "idx_ab_tests_environment" {
    columns = [column.environment_id]
  }
  check "ab_tests_status_check" {
    expr = "status IN ('draft', 'running', 'completed', 'cancelled')"
  }
  check "ab_tests_started_at_check" {
    expr = "status NOT IN ('running', 'completed') OR started_at IS NOT NULL"
  }
  check "ab_tests_ended_at_check" {
    expr = "(status <> 'completed' OR ended_at IS NOT NULL) AND ended_at >= started_at"
  }
}

table "ab_test_variants" {
  schema  = schema.public
  comment = "The sides of an A/B test. While it runs, their shares make 100 % and one is the control."
  column "id" {
    type    = integer
    comment = "Number of the variant."
    identity {
      generated = BY_DEFAULT
    }
  }
  column "ab_test_id" {
    type    = integer
    comment = "Test that it is a side of."
  }
  column "variant_name" {
    type    = varchar(100)
    comment = "Name; unique within the test."
  }
  column "deployment_id" {
    type    = integer
    comment = "Deployment that serves this side; of the test's model and environment."
  }
  column "traffic_percent" {
    type    = numeric(5,2)
    comment = "Share of the requests, in per cent."
  }
  column "is_control" {
    type    = boolean
    default = false
    comment = "Whether the others are compared with this one."
  }
  column "is_winner" {
    type    = boolean
    default = false
    comment = "Whether the test was decided for this one."
  }
  primary_key {
    columns = [column.id]
  }
  foreign_key "ab_test_variants_ab_test_id_fkey" {
    columns     = [column.ab_test_id]
    ref_columns = [table.ab_tests.column.id]
    on_delete   = CASCADE
  }
  foreign_key "ab_test_variants_deployment_id_fkey" {
    columns     = [column.deployment_id]
    ref_columns = [table.model_deployments.column.id]
    on_delete   = CASCADE
  }
  unique "ab_test_variants_ab_test_id_variant_name_key" {
    columns = [column.ab_test_id, column.variant_name]
  }
  unique "ab_test_variants_ab_test_id_deployment_id_key" {
    columns = [column.ab_test_id, column.deployment_id]
  }
  index "idx_ab_test_variants_control" {
    unique  = true
    columns = [column.ab_test_id]
    where   = "is_control"
  }
  index "idx_ab_test_variants_winner" {
    unique  = true
    columns = [column.ab_test_id]
    where   = "is_winner"
  }
  index "idx_ab_test_variants_deployment" {
    columns = [column.deployment_id]
  }
  check "ab_test_variants_traffic_percent_check" {
    expr = "traffic_percent > 0 AND traffic_percent <= 100"
  }
}
