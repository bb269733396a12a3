"""Lists as files: `build.build` writes what a `Request` asks for, as a workbook or as CSV, whole or not at all."""
