// Plain Java: the crop and the points, without Android, so that any JDK can compile and test them.
plugins { `java-library` }

java {
    sourceCompatibility = JavaVersion.VERSION_1_8
    targetCompatibility = JavaVersion.VERSION_1_8
}
