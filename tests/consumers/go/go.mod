module sequence

go 1.21
