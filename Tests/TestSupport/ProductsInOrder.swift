package import LigerCPU

extension BLAS {
    /// Sums each element in the order of the inner dimension, so that its bits depend on its row and column alone; slow.
    package static let inOrder = BLAS(
        library: BLASLibrary(named: "sums in order") {
            (_, transposeA, transposeB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc) in
            let (isATransposed, isBTransposed) = (transposeA == 112, transposeB == 112)
            for row in 0..<Int(m) {
                for column in 0..<Int(n) {
                    var sum: Float = 0
                    for term in 0..<Int(k) {
                        sum +=
                            a[isATransposed ? term * Int(lda) + row : row * Int(lda) + term]
                            * b[isBTransposed ? column * Int(ldb) + term : term * Int(ldb) + column]
                    }
                    let place = row * Int(ldc) + column
                    c[place] = alpha * sum + (beta == 0 ? 0 : beta * c[place])
                }
            }
        })
}
