# Fits a forest per output of FOLDER/x.csv and y.csv; prints ranger's version and the
# processor time, writes predicted.csv.
suppressMessages(library(ranger))
args <- commandArgs(TRUE)
read <- function(name) as.data.frame(read.csv(file.path(args[1], paste0(name, ".csv")), header = FALSE))
x <- read("x"); y <- read("y"); test <- read("testx")
predicted <- list(); taken <- 0
for (k in seq_along(y)) {
  taken <- taken + sum(system.time(model <- ranger(x = x, y = y[[k]], num.trees = as.integer(args[2]), mtry = ncol(x), min.node.size = 1,
    min.bucket = 1, num.threads = 1, seed = as.integer(args[3]) + 1L, oob.error = FALSE))[1:2])
  predicted[[k]] <- predict(model, test, num.threads = 1)$predictions
}
write.table(do.call(cbind, predicted), file.path(args[1], "predicted.csv"), sep = ",", row.names = FALSE, col.names = FALSE)
cat(as.character(packageVersion("ranger")), taken, "\n")
