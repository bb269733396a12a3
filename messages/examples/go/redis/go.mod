module coinworks.example/top-up

go 1.19
