-- Records that are deleted, or lose their reference, because what they refer to is deleted are weighed by the brake.

ALTER TABLE brakes ADD COLUMN followed bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN brakes.followed IS 'Records of any object that were deleted, or lost their reference, because this object''s records that they refer to were.';
